import { dmaDriver } from "../dma.js";
import { mirrorInvalidate } from "../mirror.js";

/** The device has forgotten the page, and its IOMMU has not: hmm_dma_unmap_pfn() is not called. */
export default dmaDriver(mirrorInvalidate);
