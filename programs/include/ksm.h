/* ksmd, as root steers it and waits for it. */
#ifndef FAULTLINE_KSM_H
#define FAULTLINE_KSM_H

#include "memory.h"
#include "process.h"
#include "smaps.h"
#include "sysfs.h"

#define KSM "/sys/kernel/mm/ksm/"

/* Two scans that have begun after now. */
static void wait_for_scans(void)
{
	unsigned long scans = read_number(KSM "full_scans");

	while (read_number(KSM "full_scans") < scans + 3)
		sleep_ms(5);
}

/* What is merged: pages, and further mappings of them. */
__attribute__((unused)) static void show_merged(const char *what)
{
	unsigned long shared = read_number(KSM "pages_shared");

	print("%s: %u shared, %u sharing\n", what, shared, read_number(KSM "pages_sharing"));
}

#endif
