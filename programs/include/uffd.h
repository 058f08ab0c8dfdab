/* userfaultfd(2): its ioctls, one function each. */
#ifndef FAULTLINE_UFFD_H
#define FAULTLINE_UFFD_H

#include <linux/ioctl.h>
#include <linux/userfaultfd.h>
#include "start.h"

#define O_NONBLOCK 04000
#define O_CLOEXEC 02000000

#define MISSING UFFDIO_REGISTER_MODE_MISSING
#define WP UFFDIO_REGISTER_MODE_WP

/* What the last COPY, ZEROPAGE, MOVE, POISON or CONTINUE has said it has done. */
static long uffd_done;

static inline long uffd_api(int fd, unsigned long features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };

	return syscall3(__NR_ioctl, fd, UFFDIO_API, &api);
}

/* A userfaultfd with these features; ends the program where there is none. */
static inline int uffd_open(int flags, unsigned long features)
{
	long fd = syscall1(__NR_userfaultfd, flags);
	long error = fd < 0 ? fd : uffd_api((int)fd, features);

	if (error < 0)
		fail("userfaultfd", error);
	return (int)fd;
}

static inline long uffd_register(int fd, void *p, size_t size, unsigned long mode, unsigned long *ioctls)
{
	struct uffdio_register r = { .range = { (unsigned long)p, size }, .mode = mode };
	long result = syscall3(__NR_ioctl, fd, UFFDIO_REGISTER, &r);

	if (ioctls != NULL)
		*ioctls = r.ioctls;
	return result;
}

static inline long uffd_unregister(int fd, void *p, size_t size)
{
	struct uffdio_range r = { (unsigned long)p, size };

	return syscall3(__NR_ioctl, fd, UFFDIO_UNREGISTER, &r);
}

static inline long uffd_wake(int fd, void *p, size_t size)
{
	struct uffdio_range r = { (unsigned long)p, size };

	return syscall3(__NR_ioctl, fd, UFFDIO_WAKE, &r);
}

static inline long uffd_copy(int fd, void *dst, const void *src, size_t size, unsigned long mode)
{
	struct uffdio_copy c = { (unsigned long)dst, (unsigned long)src, size, mode, 77 };
	long result = syscall3(__NR_ioctl, fd, UFFDIO_COPY, &c);

	uffd_done = c.copy;
	return result;
}

static inline long uffd_zeropage(int fd, void *p, size_t size, unsigned long mode)
{
	struct uffdio_zeropage z = { { (unsigned long)p, size }, mode, 77 };
	long result = syscall3(__NR_ioctl, fd, UFFDIO_ZEROPAGE, &z);

	uffd_done = z.zeropage;
	return result;
}

static inline long uffd_writeprotect(int fd, void *p, size_t size, unsigned long mode)
{
	struct uffdio_writeprotect w = { { (unsigned long)p, size }, mode };

	return syscall3(__NR_ioctl, fd, UFFDIO_WRITEPROTECT, &w);
}

/* Newer than some headers: by their numbers, with the layout of struct uffdio_zeropage and uffdio_copy. */
static inline long uffd_poison(int fd, void *p, size_t size, unsigned long mode)
{
	struct uffdio_zeropage z = { { (unsigned long)p, size }, mode, 77 };
	long result = syscall3(__NR_ioctl, fd, 0xc020aa08ul, &z);

	uffd_done = z.zeropage;
	return result;
}

static inline long uffd_continue(int fd, void *p, size_t size, unsigned long mode)
{
	struct uffdio_zeropage z = { { (unsigned long)p, size }, mode, 77 };
	long result = syscall3(__NR_ioctl, fd, 0xc020aa07ul, &z);

	uffd_done = z.zeropage;
	return result;
}

static inline long uffd_move(int fd, void *dst, const void *src, size_t size, unsigned long mode)
{
	struct uffdio_copy c = { (unsigned long)dst, (unsigned long)src, size, mode, 77 };
	long result = syscall3(__NR_ioctl, fd, 0xc028aa05ul, &c);

	uffd_done = c.copy;
	return result;
}

/* The next message: 32, or a negated errno. */
static inline long uffd_read(int fd, struct uffd_msg *msg)
{
	return syscall3(__NR_read, fd, msg, sizeof(*msg));
}

#endif
