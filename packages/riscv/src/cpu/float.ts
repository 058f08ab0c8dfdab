import type { Execute } from "./rare.js";
export const FLOAT: Readonly<Record<string, Execute>> = {};
