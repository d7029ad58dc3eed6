// Runs Chromium for the tests: node driver.mjs CHROMIUM [MICROPHONE.wav]
//
// Orders come as lines of JSON on stdin, {op, ...}, one at a time; each is answered by one line on stdout, {result} or
// {error}, within ORDER_SECONDS. The end of stdin ends the browser. It serves page.html with the official client bundled
// into page.js, from two origins, so that the client meets the simulator across origins as it meets HeyGen. Both are on
// this machine, but Chromium takes one for a site on the internet.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";
import { chromium } from "playwright-core";

const [executablePath, microphone] = process.argv.slice(2);
const ORDER_SECONDS = 25;

const orders = {
  /** Show the page and click on it, as a user does: without that, browsers let nothing sound. */
  async open({ from, permissions }) {
    const page = await browser.newPage({ viewport: { width: 1280, height: 640 }, permissions });
    const lines = [];
    page.on("console", (message) => lines.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => lines.push(`uncaught: ${error.stack}`));
    await page.goto(`http://${hosts[from]}/`);
    await page.click("#enter");
    return pages.push({ page, lines }) - 1;
  },
  visit: ({ page, name, options }) =>
    pages[page].page.evaluate(([name, options]) => window.visitor[name](options), [name, options]),
  console: ({ page }) => pages[page].lines,
  screenshot: ({ page, path }) => pages[page].page.screenshot({ path }).then(() => path),
  close: ({ page }) => pages[page].page.close(),
};

const pages = [];
const files = await content();
const servers = [await serve(), await serve()];
const hosts = { here: hostOf(servers[0]), internet: hostOf(servers[1]) };
const browser = await chromium.launch({ executablePath, args: switches() });
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

async function leave() {
  await browser.close();
  process.exit();
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

function switches() {
  const fakes = [
    `--ip-address-space-overrides=${hosts.internet}=public`,
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
  ];
  if (microphone) fakes.push(`--use-file-for-fake-audio-capture=${microphone}%noloop`);
  return [...fakes, "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"];
}

async function content() {
  const here = fileURLToPath(new URL(".", import.meta.url));
  const bundle = await build({ entryPoints: [`${here}page.js`], bundle: true, write: false, format: "iife" });
  return {
    "/": ["text/html", await readFile(`${here}page.html`)],
    "/page.js": ["text/javascript", bundle.outputFiles[0].contents],
  };
}

async function serve() {
  const server = createServer(({ url }, response) => {
    const [type, body] = files[url] ?? [];
    if (type) response.writeHead(200, { "Content-Type": `${type}; charset=utf-8` }).end(body);
    else response.writeHead(404).end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

function hostOf(server) {
  return `127.0.0.1:${server.address().port}`;
}
