// Runs Chromium with JupyterLab in it: node notebook.mjs CHROMIUM [MICROPHONE.wav]
//
// It obeys orders (orders.mjs), and knows of JupyterLab only that it shows its application to pages (--expose-app).

import { launch, obey } from "./orders.mjs";

const [executablePath, microphone] = process.argv.slice(2);
const WAIT_SECONDS = 20;

const orders = {
  /** Open a notebook's address. What its page plays can be measured from then on. */
  async open({ url, theme = "light" }) {
    const page = await browser.newPage({ viewport: { width: 1000, height: 900 }, colorScheme: theme });
    const lines = [];
    page.on("console", (message) => lines.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => lines.push(`uncaught: ${error.stack}`));
    await page.addInitScript(tapSound);
    await page.goto(url);
    return pages.push({ page, lines }) - 1;
  },
  evaluate: ({ page, code }) => pages[page].page.evaluate(code),
  /** Wait until the code gives something true, and answer with it. */
  async wait({ page, code, seconds = WAIT_SECONDS }) {
    const handle = await pages[page].page.waitForFunction(code, null, { timeout: seconds * 1000, polling: 50 });
    return handle.jsonValue();
  },
  click: ({ page, selector }) => pages[page].page.click(selector, { timeout: 8_000 }),
  async hold({ page, selector }) {
    await pages[page].page.hover(selector, { timeout: 8_000 });
    await pages[page].page.mouse.down();
  },
  release: ({ page }) => pages[page].page.mouse.up(),
  press: ({ page, key }) => pages[page].page.keyboard.press(key),
  screenshot: ({ page, path, selector }) =>
    (selector ? pages[page].page.locator(selector).first() : pages[page].page).screenshot({ path }).then(() => path),
  console: ({ page }) => pages[page].lines,
  async metrics({ page }) {
    const session = await pages[page].page.context().newCDPSession(pages[page].page);
    await session.send("HeapProfiler.collectGarbage"); // else the heap is whatever awaits its collection
    await session.send("Performance.enable");
    const { metrics } = await session.send("Performance.getMetrics");
    await session.detach();
    return Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
  },
  close: ({ page }) => pages[page].page.close(),
};

const pages = [];
const browser = await launch(executablePath, [], microphone);
await obey(orders, browser);

/** In the page, before its own scripts: whatever goes to the loudspeaker goes by an analyser too. */
function tapSound() {
  const taps = [];
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (target, ...rest) {
    if (target instanceof AudioDestinationNode) {
      const analyser = new AnalyserNode(this.context, { fftSize: 4096 });
      connect.call(this, analyser);
      taps.push(analyser);
    }
    return connect.call(this, target, ...rest);
  };
  /** RMS of what sounds now, of full scale. */
  window.loudness = () => {
    const of = (analyser) => {
      const samples = new Float32Array(analyser.fftSize);
      analyser.getFloatTimeDomainData(samples);
      return Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
    };
    return Math.max(0, ...taps.map(of));
  };
}
