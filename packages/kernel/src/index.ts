export { Tlb } from "./arch/tlb.js";
