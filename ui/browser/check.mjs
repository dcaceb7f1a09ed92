// check.mjs SCREENSHOTS: drives the page with Chromium against a running daemon with the compose project of
// integration/testdata/ui.txtar, in the daemon's network namespace. It fails with what does not hold.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { once } from "node:events";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

const screenshots = process.argv[2];
const run = promisify(execFile);
const probe = (container, ...args) => run("docker", ["exec", container, "probe", ...args]).catch((e) => e);
const patience = 15_000;

/** step says what is tried, so that a failure tells where it was. */
async function step(about, act) {
  const begin = Date.now();
  try {
    await act();
  } catch (e) {
    console.error(`FAILED: ${about}`);
    throw e;
  }
  console.log(`${about}: ${Date.now() - begin} ms`);
}

/** until repeats a question until the answer is true. */
async function until(about, ask) {
  for (const end = Date.now() + patience; Date.now() < end; await new Promise((r) => setTimeout(r, 50))) {
    if (await ask()) return;
  }
  assert.fail(`${about}: not within ${patience} ms`);
}

const server = spawn("sluice", ["ui", "--no-open"], { stdio: ["ignore", "pipe", "ignore"] });
const [line] = await once(server.stdout, "data");
const login = new URL(String(line).trim());

const complaints = [];
let browser;

/** open makes a window whose complaints are collected. */
async function open() {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: "light", reducedMotion: "reduce" });
  const page = await context.newPage();
  page.setDefaultTimeout(patience);
  page.on("console", (m) => m.type() === "error" && complaints.push(m.text()));
  page.on("pageerror", (e) => complaints.push(e.message));
  return page;
}

/** link finds a line of the map. */
const link = (page, from, to) => page.locator(`g.line[data-link="${from} ${to}"]`);

async function strangers() {
  for (const path of ["/api/map", "/api/flows", "/app.js"]) assert.equal((await fetch(new URL(path, login))).status, 401);
  const page = await open();
  const wrong = new URL(login);
  wrong.searchParams.set("token", "0123456789ABCDEFGHIJKLMNOP");
  assert.equal((await page.goto(wrong.href)).status(), 401);
  assert.match(await page.getByRole("alert").textContent(), /not valid/);
  await page.context().close();
  complaints.length = 0; // of the browser, about status 401
}

async function topology(page) {
  await page.goto(login.href);
  for (const service of ["web", "other", "db"]) await page.locator(`.card[data-group="shop/${service}"]`).waitFor();
  await page.getByRole("heading", { name: "shop", exact: true }).waitFor();
  const real = JSON.parse((await run("sluice", ["endpoint", "list", "-o", "json"])).stdout).map((e) => e.container);
  const shown = await page.locator(".card.kind-container .card-row").allTextContents();
  for (const name of real) assert.ok(shown.some((row) => row.startsWith(name.replace(/^shop-/, ""))), `${name} is not on the map: ${shown}`);
  assert.ok((await page.locator('.card[data-group="shop/web"]').textContent()).includes(":8080 → 80"));
  assert.equal(await page.locator('.card[data-group="shop/db"] .guard').count(), 1);
}

async function traffic(page) {
  await probe("shop-web-1", "tcp", "-bytes", "50000", "db:80");
  await link(page, "shop/web", "shop/db").waitFor({ state: "attached" });
  assert.equal(await link(page, "shop/web", "shop/db").getAttribute("data-state"), "ok");
  await until("the rate on the line", async () => /kB\/s/.test(await link(page, "shop/web", "shop/db").getAttribute("aria-label")));
}

async function redWithinASecond(page) {
  await page.evaluate(() => {
    const seen = () => document.querySelector('g.line[data-link="shop/other shop/db"][data-state="dropped"]');
    new MutationObserver(() => {
      if (!window.red && seen()) window.red = Date.now();
    }).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ["data-state"] });
  });
  const refused = await probe("shop-other-1", "tcp", "-w", "700ms", "db:80");
  assert.notEqual(refused.code, undefined, "the policy let it pass");
  await until("the red line", () => page.evaluate(() => window.red > 0));
  const red = await page.evaluate(() => window.red);
  const flows = await page.evaluate(async () => (await fetch("api/flows?q=verdict:dropped+from:other")).json());
  const took = red - Date.parse(flows.flows[0].time);
  console.log(`the line was red ${took} ms after the packet was dropped`);
  assert.ok(took < 1000, `${took} ms`);
  const label = link(page, "shop/other", "shop/db");
  assert.match(await label.getAttribute("aria-label"), /dropped: policy denied/);
  assert.match((await page.locator(".label.dropped").allTextContents()).join(), /policy denied/);
}

async function explained(page) {
  await link(page, "shop/other", "shop/db").locator(".hit").dispatchEvent("click");
  const panel = page.getByRole("complementary", { name: "Details" });
  await panel.getByText("policy denied").first().waitFor();
  await panel.locator(".path.denied").waitFor();
  const text = await panel.textContent();
  for (const part of ["sluice why shop-other-1 shop-db-1:80/tcp", "hubble observe --follow --from-pod shop/shop-other-1", "To have it allowed", "ingress"]) {
    assert.ok(text.includes(part), `the panel lacks ${part}: ${text}`);
  }
  await page.keyboard.press("Escape");
}

const rows = (page) => page.locator("tr.flow");

async function filters(page) {
  await page.keyboard.press("/");
  await page.keyboard.type("verdict:dropped to:db");
  await until("only drops", async () => {
    const verdicts = await rows(page).locator(".verdict").allTextContents();
    return verdicts.length > 0 && verdicts.every((v) => v === "dropped");
  });
  await page.locator("#filter").fill("verdict:nonsense");
  await page.getByText("use allowed, audit, denied").waitFor();
  await page.locator("#filter").fill("");
  await until("all flows", async () => (await rows(page).locator(".verdict").allTextContents()).includes("forwarded"));
}

async function pauses(page) {
  await page.locator("#filter").blur();
  await page.keyboard.press("p");
  const newest = () => rows(page).first().getAttribute("data-seq");
  const before = await newest();
  await probe("shop-web-1", "udp", "db:80");
  await page.getByRole("button", { name: /Resume \(\d+ new\)/ }).waitFor();
  assert.equal(await newest(), before);
  await page.keyboard.press("p");
  await until("what came meanwhile", async () => Number(await newest()) > Number(before));
}

async function remembers(page) {
  await page.reload();
  await link(page, "shop/other", "shop/db").waitFor({ state: "attached" });
  await page.locator("#range").selectOption("15m");
  await until("flows of before", async () => (await rows(page).locator(".verdict").allTextContents()).includes("dropped"));
  await page.locator("#range").selectOption("");
}

async function keyboard(page) {
  await page.keyboard.press("2");
  await page.locator(".view-flows").waitFor();
  await rows(page).first().focus();
  await page.keyboard.press("ArrowDown");
  const second = await page.evaluate(() => document.activeElement.dataset.seq);
  assert.ok(second);
  await page.keyboard.press("Enter");
  await page.getByRole("complementary", { name: "Details" }).getByText("May ").waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("1");
  await page.locator(".canvas").focus();
  const reached = new Set();
  for (let i = 0; i < 40; i++) {
    await page.keyboard.press("Tab");
    reached.add(await page.evaluate(() => document.activeElement.closest("[data-group]")?.dataset.group ?? document.activeElement.dataset?.link ?? ""));
  }
  for (const want of ["shop/web", "shop/db", "shop/other shop/db"]) assert.ok(reached.has(want), `Tab does not reach ${want}: ${[...reached]}`);
  await page.locator(".canvas").focus();
  await page.keyboard.press("?");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
}

async function policies(page) {
  await page.keyboard.press("3");
  await page.getByRole("heading", { name: "shop/db", exact: true }).or(page.getByRole("heading", { name: "db", exact: true })).first().waitFor();
  await page.locator(".exposed tr", { hasText: "shop/web" }).filter({ hasText: "8080" }).first().waitFor();
  await page.keyboard.press("1");
}

async function colours(page) {
  mkdirSync(screenshots, { recursive: true });
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.locator(".card").first().waitFor();
  await page.screenshot({ path: `${screenshots}/light.png` });
  const light = await background();
  await page.keyboard.press("t"); // from the system's to light
  await page.keyboard.press("t");
  await until("dark", async () => (await background()) !== light);
  await page.screenshot({ path: `${screenshots}/dark.png` });
}

async function phone(page) {
  await page.setViewportSize({ width: 360, height: 740 });
  for (const [key, name] of [["1", "map"], ["2", "flows"], ["3", "policies"]]) {
    await page.keyboard.press(key);
    await page.locator(`.view-${name}`).waitFor();
    const [scroll, width] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
    assert.ok(scroll <= width, `${name}: ${scroll} wide`);
    await page.screenshot({ path: `${screenshots}/phone-${name}.png` });
  }
}

async function tokenIsSpent() {
  const page = await open();
  assert.equal((await page.goto(login.href)).status(), 401);
  await page.context().close();
}

try {
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run"],
  });
  await step("strangers see nothing", strangers);
  const page = await open();
  await step("the map shows what there is", () => topology(page));
  await step("connections appear with their rate", () => traffic(page));
  await step("a drop turns its line red", () => redWithinASecond(page));
  await step("a line is explained", () => explained(page));
  await step("the filter filters", () => filters(page));
  await step("pause and resume", () => pauses(page));
  await step("history after a reload", () => remembers(page));
  await step("everything by the keyboard", () => keyboard(page));
  await step("policies", () => policies(page));
  await step("light and dark", () => colours(page));
  await step("a phone", () => phone(page));
  assert.deepEqual(complaints, [], "the console has errors");
  await step("the token is spent", tokenIsSpent);
} finally {
  server.kill();
  await browser?.close();
}
