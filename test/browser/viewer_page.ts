import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import { startChromium } from "./chromium.js";
import { takePicture, type Served } from "./served.js";

/** A page of the viewer for each test of a suite, on one server that `before` makes. Nothing may be wrong in its console. */
export class ViewerPage {
  page!: Page;
  served!: Served;
  private browser!: Browser;
  private context!: BrowserContext;
  private readonly wrong: string[] = [];

  constructor(before: () => Promise<Served>) {
    beforeAll(async () => {
      this.served = await before();
      this.browser = await startChromium();
    });
    afterAll(async () => {
      await this.browser?.close();
      this.served?.child.kill();
    });
    beforeEach(async () => {
      this.context = await this.browser.newContext({ viewport: { width: 1280, height: 720 }, colorScheme: "dark" });
      this.page = await this.context.newPage();
      this.wrong.length = 0;
      this.page.on("pageerror", (error) => this.wrong.push(error.message));
      this.page.on("console", (message) => {
        if (message.type() === "error") this.wrong.push(message.text());
      });
    });
    afterEach(async () => {
      await this.context.close();
      expect(this.wrong).toEqual([]);
    });
  }

  text(id: string): Promise<string> {
    return this.page.getByTestId(id).innerText();
  }

  picture(name: string): Promise<void> {
    return takePicture(this.page, name);
  }

  /** Goes to a link, as somebody does who has been sent it. */
  async visit(link: string): Promise<void> {
    await this.page.goto("about:blank");
    await this.page.goto(new URL(link, this.served.url).href);
  }
}
