// Drives the console in Chromium as a list of steps on stdin says, and prints what each step found: a line of JSON a step.
// Uses puppeteer-core of tests/sdks/node. axe is put in past the page's policy, which is never loosened for a test.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [, , chromium, packages] = process.argv;
const require = createRequire(`${packages}/package.json`);
const puppeteer = (await import(pathToFileURL(require.resolve("puppeteer-core")))).default;
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const browser = await puppeteer.launch({ executablePath: chromium, headless: true, args: ["--no-sandbox", "--disable-gpu", "--no-proxy-server", "--disable-dev-shm-usage"] });
let page = await browser.newPage();
let errors = [];
let replies = [];
function listen(to) {
  to.on("console", (message) => message.type() === "error" && !/Failed to load resource/.test(message.text()) && errors.push(message.text()));
  to.on("pageerror", (error) => errors.push(String(error)));
  to.on("response", (response) => replies.push([response.request().method(), response.status(), response.url()]));
}
listen(page);

// What lies outside the window or under something else, and controls that nobody can hit.
const geometry = () => {
  const found = [];
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) found.push(`the page is ${document.documentElement.scrollWidth} wide in a window of ${width}`);
  for (const each of document.querySelectorAll("a, button, input, select, textarea")) {
    const box = each.getBoundingClientRect();
    if (!box.width || !box.height || each.closest(".skip, [popover]:not(:popover-open), dialog:not([open]), datalist")) continue;
    const scrolls = each.parentElement.closest(".scroll, .rows, .table, .editor, nav, main, aside, dialog");
    const name = `${each.tagName.toLowerCase()} ${(each.getAttribute("aria-label") || each.textContent || each.placeholder || "").trim().slice(0, 40)}`;
    if (box.left < -1 || box.right > width + 1) {
      if (!each.closest(".scroll, nav, .rows, .table")) found.push(`${name} sticks out: ${Math.round(box.left)} to ${Math.round(box.right)}`);
      continue;
    }
    const x = box.left + box.width / 2, y = box.top + box.height / 2;
    if (y < 0 || y > innerHeight) continue;
    const outer = scrolls?.getBoundingClientRect();
    if (outer && (x < outer.left || x > outer.right || y < outer.top || y > outer.bottom)) continue;
    const hit = document.elementFromPoint(x, y);
    if (hit && !each.contains(hit) && !hit.contains(each) && !hit.closest("thead")) found.push(`${name} is covered by ${hit.tagName.toLowerCase()}.${hit.className}`);
  }
  return found;
};

const does = {
  async go({ url }) {
    await page.goto(url, { waitUntil: "domcontentloaded" });
  },
  async size({ width, height }) {
    await page.setViewport({ width, height: height ?? 900 });
  },
  async theme({ theme }) {
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
  },
  async see({ text, gone }) {
    await page.waitForFunction((wanted, absent) => document.body.innerText.includes(wanted) !== absent, { timeout: 20000 }, text, Boolean(gone));
  },
  async type({ into, text }) {
    const field = await page.waitForSelector(into, { timeout: 20000, visible: true });
    await field.click({ count: 3 });
    await field.type(text);
  },
  async press({ key }) {
    await page.keyboard.press(key);
  },
  async chord({ hold, key }) {
    await page.keyboard.down(hold);
    await page.keyboard.press(key);
    await page.keyboard.up(hold);
  },
  async click({ on }) {
    const found = await page.waitForSelector(on.startsWith("::") || on.includes("[") || on.startsWith("#") || on.startsWith(".") ? on : `::-p-text(${on})`, { timeout: 20000, visible: true });
    await found.click();
  },
  async text() {
    return await page.evaluate(() => document.body.innerText);
  },
  async evaluate({ script }) {
    return await page.evaluate(script);
  },
  async geometry() {
    return await page.evaluate(geometry);
  },
  async axe() {
    await page.evaluate(axe);
    return await page.evaluate(async () => {
      const found = await globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] });
      return found.violations.map((each) => `${each.id}: ${each.nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} ${node.any[0]?.message ?? ""}`).join(" | ")}`);
    });
  },
  async settle() {
    await page.waitForNetworkIdle({ idleTime: 250, timeout: 5000, concurrency: 2 }).catch(() => {});
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  },
  async errors() {
    const found = errors;
    errors = [];
    return found;
  },
  async replies() {
    const found = replies;
    replies = [];
    return found;
  },
  async address() {
    return page.url();
  },
  async focus() {
    return await page.evaluate(() => {
      const at = document.activeElement;
      return { name: `${at.tagName.toLowerCase()} ${(at.getAttribute("aria-label") || at.textContent || "").trim().slice(0, 40)}`, outline: getComputedStyle(at).outlineStyle };
    });
  },
  async shot({ path }) {
    await page.screenshot({ path });
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { step, ...given } = JSON.parse(line);
  let reply;
  try {
    reply = { found: (await does[step](given)) ?? null };
  } catch (error) {
    reply = { error: `${step} ${JSON.stringify(given).slice(0, 200)}: ${error.message}`, text: await page.evaluate(() => document.body.innerText.slice(0, 1500)).catch(() => "") };
  }
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}
await browser.close();
