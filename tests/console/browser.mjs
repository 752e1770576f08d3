// Drives the console in Chromium as a list of steps on stdin says, and prints what each step found: a line of JSON a step.
// A step that acts waits until it can, and one that looks waits until it sees: a busy machine makes a test longer and changes nothing else.
// Uses puppeteer-core of tests/sdks/node. axe is put in past the page's policy, which is never loosened for a test.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [, , chromium, packages] = process.argv;
const require = createRequire(`${packages}/package.json`);
const puppeteer = (await import(pathToFileURL(require.resolve("puppeteer-core")))).default;
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const LIMIT_MS = 60_000; // how long a step waits for the page
const browser = await puppeteer.launch({ executablePath: chromium, headless: true, timeout: 120_000, protocolTimeout: 180_000, args: ["--no-sandbox", "--disable-gpu", "--no-proxy-server", "--disable-dev-shm-usage"] });
const page = await browser.newPage();
page.setDefaultTimeout(LIMIT_MS);
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

const nodes = () => {
  const walker = document.createTreeWalker(document, NodeFilter.SHOW_ALL);
  let found = 1;
  while (walker.nextNode()) found += 1;
  return found;
};

// Frames are rare on a busy machine, so the page is asked by the clock.
const until = (condition, ...given) => page.waitForFunction(condition, { polling: 50 }, ...given);
const holdsFocus = (selector) => document.activeElement.matches(selector);

const does = {
  async go({ url }) {
    replies = [];
    await page.goto(url, { waitUntil: "domcontentloaded" });
  },
  async size({ width, height }) {
    await page.setViewport({ width, height: height ?? 900 });
  },
  async theme({ theme }) {
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
  },
  async see({ text, on = "body", gone }) {
    await until((selector, wanted, absent) => [...document.querySelectorAll(selector)].some((each) => each.innerText.includes(wanted)) !== absent, on, text, Boolean(gone));
  },
  // The field holds exactly the text afterwards, even where the page drew it anew meanwhile.
  async type({ into, text }) {
    const deadline = Date.now() + LIMIT_MS;
    for (;;) {
      await page.locator(into).click({ count: 3 });
      await until(holdsFocus, into);
      await page.keyboard.type(text);
      if ((await page.$eval(into, (field) => field.value).catch(() => null)) === text) return;
      if (Date.now() > deadline) throw new Error("the field does not keep what is typed");
    }
  },
  // at: what has to hold the focus before the key goes down.
  async press({ key, at, hold }) {
    if (at) await until(holdsFocus, at);
    if (hold) await page.keyboard.down(hold);
    await page.keyboard.press(key);
    if (hold) await page.keyboard.up(hold);
  },
  async click({ on }) {
    await page.locator(on.includes("::") || on.includes("[") || on.startsWith("#") || on.startsWith(".") ? on : `::-p-text(${on})`).click();
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
  // The screen is loaded and what it asked for is shown. Two requests may stay open: the live stream is one.
  async settle() {
    await until(() => document.querySelector("main")?.innerText.trim() && !document.querySelector("[aria-busy]"));
    await page.waitForNetworkIdle({ idleTime: 250, concurrency: 2 });
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  },
  async errors() {
    const found = errors;
    errors = [];
    return found;
  },
  // What was answered at the URL since the last `go`, once each of these [method, status] is among it: a reply is told after its page has it.
  async replies({ url, wanted }) {
    const deadline = Date.now() + LIMIT_MS;
    for (;;) {
      const found = replies.filter(([, , to]) => to === url);
      if (wanted.every(([method, status]) => found.some((each) => each[0] === method && each[1] === status))) return found;
      if (Date.now() > deadline) throw new Error(`the replies were ${JSON.stringify(found)}`);
      await new Promise((again) => setTimeout(again, 50));
    }
  },
  async address() {
    return page.url();
  },
  // The style of the outline of what holds the focus, once that is what is named.
  async focus({ name }) {
    await until((wanted) => {
      const at = document.activeElement;
      return `${at.tagName.toLowerCase()} ${(at.getAttribute("aria-label") || at.textContent || "").trim()}`.startsWith(wanted);
    }, name);
    return await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  },
  async shot({ path }) {
    await page.screenshot({ path });
  },
  // host: the element in whose shadow root it is.
  async see_element({ selector, host }) {
    await found(selector, host);
  },
  // Another view of the same page, as a click on a link leads to it: without loading the page again.
  async visit({ path }) {
    await page.evaluate((to) => {
      history.pushState(null, "", to);
      dispatchEvent(new PopStateEvent("popstate"));
    }, path);
  },
  // In place of the server, requests whose URL has this part wait ("hold"), are cut off ("cut") or get a reply: this body, or
  // a problem. Without a part: the server answers.
  async intercept({ part, does: what, status, detail, headers, body }) {
    rule = part === undefined ? undefined : { part, what, status, detail, headers, body };
    if (!intercepting) {
      await page.setRequestInterception(true);
      page.on("request", decide);
      intercepting = true;
    }
    for (const request of held.splice(0)) request.continue().catch(() => {});
  },
  // All of the text of an editor, which is no field.
  async write({ host, text }) {
    const editor = await page.evaluateHandle((of) => document.querySelector(of).shadowRoot.querySelector(".cm-content"), (await found(".cm-content", host), host));
    await editor.click();
    await page.keyboard.down("Control");
    await page.keyboard.press("a");
    await page.keyboard.up("Control");
    await page.keyboard.type(text);
  },
  // Nothing of what was loaded is kept.
  async forget() {
    const client = await page.createCDPSession();
    await client.send("Network.clearBrowserCache");
    await client.detach();
  },
  async metrics() {
    const client = await page.createCDPSession();
    await client.send("HeapProfiler.collectGarbage");
    await client.detach();
    return { ...(await page.metrics()), nodes: await page.evaluate(nodes) };
  },
  // Of every kind: elements, texts, comments.
  async nodes() {
    return await page.evaluate(nodes);
  },
  // Further tabs of the same browser, which share its session.
  async tabs({ urls }) {
    for (const url of urls) {
      const tab = await browser.newPage();
      await tab.goto(url, { waitUntil: "domcontentloaded" });
      tabs.push(tab);
    }
  },
  async each_tab_sees({ text }) {
    for (const tab of tabs) {
      await tab.bringToFront(); // only one tab of a window is seen
      await tab.waitForFunction((wanted) => document.body.innerText.includes(wanted), { polling: 100, timeout: 60000 }, text);
    }
  },
  async front() {
    await page.bringToFront();
  },
  async in_each_tab({ script }) {
    return await Promise.all(tabs.map((tab) => tab.evaluate(script)));
  },
  async close_tabs() {
    for (const tab of tabs.splice(0)) await tab.close();
    await page.bringToFront();
  },
};

function found(selector, host) {
  return until((wanted, of) => (of ? document.querySelector(of)?.shadowRoot?.querySelector(wanted) : document.querySelector(wanted)), selector, host);
}
let intercepting = false;
let rule;
const held = [];
const tabs = [];
function decide(request) {
  if (!rule || !request.url().includes(rule.part)) return void request.continue().catch(() => {}); // whoever asked may be gone
  if (rule.what === "hold") return void held.push(request);
  if (rule.what === "cut") return void request.abort("connectionfailed").catch(() => {});
  const problem = { type: "about:blank", title: "", status: rule.status, detail: rule.detail };
  const contentType = rule.body ? "application/json" : "application/problem+json";
  request.respond({ status: rule.status, contentType, headers: rule.headers ?? {}, body: JSON.stringify(rule.body ?? problem) }).catch(() => {});
}

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
