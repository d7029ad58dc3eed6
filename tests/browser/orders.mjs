// How a test drives a browser from another process.
//
// Orders come as lines of JSON on stdin, {op, ...}, one at a time; each is answered by one line on stdout, {result} or
// {error}, within ORDER_SECONDS. The end of stdin ends the browser.

import { createInterface } from "node:readline";

import { chromium } from "playwright-core";

const ORDER_SECONDS = 25;

/** Chromium with a microphone that plays a file once, or beeps. */
export async function launch(executablePath, args, microphone) {
  const fakes = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"];
  if (microphone) fakes.push(`--use-file-for-fake-audio-capture=${microphone}%noloop`);
  const quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"];
  return chromium.launch({ executablePath, args: [...fakes, ...args, ...quiet] });
}

export async function obey(orders, browser) {
  const leave = async () => {
    await browser.close();
    process.exit();
  };
  answer({ result: { chromium: browser.version() } });
  // Also in the middle of an order: whoever gave it may have been killed.
  process.stdin.once("end", leave);
  process.stdout.once("error", leave);
  for await (const line of createInterface({ input: process.stdin })) {
    const { op, ...rest } = JSON.parse(line);
    try {
      answer({ result: (await inTime(orders[op](rest), op)) ?? null });
    } catch (error) {
      answer({ error: String(error.stack ?? error) });
    }
  }
}

function answer(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

async function inTime(work, op) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${op} took more than ${ORDER_SECONDS} s`)), ORDER_SECONDS * 1000);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
