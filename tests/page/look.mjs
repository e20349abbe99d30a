// Looks at the pages in a folder; see run.sh. Prints what is wrong, and ends with 1 when something is.
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";
import puppeteer from "puppeteer-core";

const [chromium, folder] = process.argv.slice(2);
const axe = fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
// How long a map of 200 applications may take from the click to the picture, in milliseconds: on a busy machine, too.
const SOON = 3000;

let wrong = 0;
const check = (holds, what, found = "") => {
  if (holds) return;
  wrong += 1;
  console.error(`page: ${what}${found === "" ? "" : `: ${typeof found === "string" ? found : JSON.stringify(found, null, 1)}`}`);
};

const browser = await puppeteer.launch({
  executablePath: chromium,
  headless: true,
  args: ["--no-sandbox", "--hide-scrollbars", "--force-color-profile=srgb"],
});

const open = async (count, width, scheme) => {
  const page = await browser.newPage();
  const about = `${count} applications, ${width} wide, ${scheme}`;
  page.on("pageerror", (error) => check(false, `${about}: its script fails`, error.message));
  page.on("console", (message) => check(message.type() !== "error", about, message.text()));
  page.on("request", (request) => check(/^(file|data):/.test(request.url()), `${about}: it asks for`, request.url()));
  await page.setViewport({ width, height: width < 500 ? 844 : 900, isMobile: width < 500, hasTouch: width < 500 });
  await page.emulateMediaFeatures([
    { name: "prefers-color-scheme", value: scheme },
    { name: "prefers-reduced-motion", value: "reduce" },
  ]);
  await page.goto(`file://${path.join(folder, `${count}.html`)}`);
  return { page, about };
};

const violations = async (page) => {
  // The page's own policy keeps out even this script.
  const session = await page.createCDPSession();
  await session.send("Page.setBypassCSP", { enabled: true });
  await page.reload();
  await page.evaluate(axe);
  const found = await page.evaluate(async (rules) => (await axe.run(document, { runOnly: rules })).violations, RULES);
  return found.map(({ id, help, nodes }) => ({ id, help, nodes: nodes.slice(0, 3).map((node) => node.html.slice(0, 160)) }));
};

for (const count of [5, 200]) {
  for (const width of [390, 1440]) {
    for (const scheme of ["light", "dark"]) {
      const { page, about } = await open(count, width, scheme);
      const found = await page.evaluate(() => ({
        wider: document.documentElement.scrollWidth - innerWidth,
        moving: document.getAnimations().length,
        maps: document.querySelectorAll(".canvas svg").length,
        failing: document.querySelector("tbody tr:not([hidden]) .state")?.textContent,
      }));
      check(found.wider <= 0, `${about}: it is wider than the window by`, String(found.wider));
      check(found.moving === 0, `${about}: something moves for who asked for rest`);
      check(found.maps > 0, `${about}: there is no map`);
      check(found.failing === "failing", `${about}: the first row is not what fails`, String(found.failing));
      await page.screenshot({ path: path.join(folder, `${count}-${width}-${scheme}.png`), fullPage: count === 5 });
      const axed = await violations(page);
      check(axed.length === 0, `${about}: axe finds`, axed);
      await page.close();
    }
  }
}

// With the keyboard alone: from the map to one application's pairs, and back.
{
  const { page, about } = await open(5, 1440, "light");
  const rows = () => page.evaluate(() => document.querySelectorAll("tbody tr[data-pair]:not([hidden])").length);
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.className ?? "");
  await page.keyboard.press("Tab");
  check((await focused()) === "skip", `${about}: the first stop is not the way past everything`);
  const all = await rows();
  let stops = 0;
  while (!(await page.evaluate(() => document.activeElement?.classList.contains("node"))) && stops < 30) {
    await page.keyboard.press("Tab");
    stops += 1;
  }
  const first = await focused();
  await page.keyboard.press("ArrowRight");
  check((await focused()) !== first, `${about}: an arrow key does not lead on from ${first}`);
  await page.keyboard.press("Enter");
  const some = await rows();
  check(some > 0 && some < all, `${about}: choosing an application leaves ${some} of ${all} rows`);
  check((await page.$eval("#shown", (it) => it.textContent)) === `${some} of ${all} pairs`, `${about}: what is shown is not said`);
  await page.keyboard.press("Enter");
  check((await rows()) === all, `${about}: choosing it again does not bring back all rows`);
  await page.close();
}

// Everything at once, and what is looked for is in the address.
{
  const { page, about } = await open(200, 1440, "light");
  const began = Date.now();
  await page.click("input[value=verified]");
  await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  check(Date.now() - began < SOON, `${about}: all of it takes ${Date.now() - began} ms`);
  await page.screenshot({ path: path.join(folder, "200-all.png") });
  await page.type("#application", "orders");
  await page.select("#environment", "1");
  const shown = await page.$eval("#shown", (it) => it.textContent);
  await page.screenshot({ path: path.join(folder, "200-orders.png") });
  await page.reload();
  check((await page.$eval("#shown", (it) => it.textContent)) === shown, `${about}: the address does not say what is looked for`);
  await page.close();
}

// On paper: everything that is shown, in pages.
{
  const { page, about } = await open(200, 1440, "light");
  const printed = await page.pdf({ path: path.join(folder, "200.pdf"), format: "A4" });
  check(printed.length > 20000, `${about}: what is printed has ${printed.length} bytes only`);
  await page.close();
}

await browser.close();
console.log(wrong === 0 ? `page: nothing is wrong; the pictures are in ${folder}` : `page: ${wrong} things are wrong`);
process.exit(wrong === 0 ? 0 : 1);
