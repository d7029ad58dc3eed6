// Runs Chromium for the tests: node driver.mjs CHROMIUM [MICROPHONE.wav]
//
// It obeys orders (orders.mjs). It serves page.html with the official client bundled into page.js, from two origins, so
// that the client meets the simulator across origins as it meets HeyGen. Both are on this machine, but Chromium takes one
// for a site on the internet.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

import { launch, obey } from "./orders.mjs";

const [executablePath, microphone] = process.argv.slice(2);

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
const browser = await launch(executablePath, switches(), microphone);
await obey(orders, browser);

function switches() {
  return [`--ip-address-space-overrides=${hosts.internet}=public`];
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
