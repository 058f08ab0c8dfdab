/* The ioctl PAGEMAP_SCAN, for headers older than it. */
#ifndef FAULTLINE_PAGEMAP_SCAN_H
#define FAULTLINE_PAGEMAP_SCAN_H

#include "start.h"
#include <linux/fs.h>

#ifndef PAGEMAP_SCAN
#define PAGEMAP_SCAN 0xc0606610ul
#define PAGE_IS_WPALLOWED (1 << 0)
#define PAGE_IS_WRITTEN (1 << 1)
#define PAGE_IS_FILE (1 << 2)
#define PAGE_IS_PRESENT (1 << 3)
#define PAGE_IS_SWAPPED (1 << 4)
#define PAGE_IS_PFNZERO (1 << 5)
#define PAGE_IS_HUGE (1 << 6)
#define PM_SCAN_WP_MATCHING 1
#define PM_SCAN_CHECK_WPASYNC 2
struct page_region {
	uint64_t start, end, categories;
};
struct pm_scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#endif

#endif
