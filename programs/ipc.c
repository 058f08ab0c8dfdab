/*
 * ipc: System V shared memory, semaphores and message queues. Prints the same on any Linux on which nobody else has any.
 */
#include "process.h"
#include <asm/ipcbuf.h>
#include <asm/msgbuf.h>
#include <asm/sembuf.h>
#include <asm/shmbuf.h>

#define SHOW(what, call) print("%s: %d\n", what, (long)(call))
#define IPC_PRIVATE 0
#define IPC_CREAT 01000
#define IPC_EXCL 02000
#define IPC_NOWAIT 04000
#define IPC_RMID 0
#define IPC_SET 1
#define IPC_STAT 2
#define IPC_INFO 3
#define SHM_LOCK 11
#define SHM_UNLOCK 12
#define SHM_STAT 13
#define SHM_INFO 14
#define SHM_STAT_ANY 15
#define SHM_RDONLY 010000
#define GETPID 11
#define GETVAL 12
#define GETALL 13
#define GETNCNT 14
#define GETZCNT 15
#define SETVAL 16
#define SETALL 17
#define SEM_STAT 18
#define SEM_INFO 19
#define SEM_STAT_ANY 20
#define SEM_UNDO 0x1000
#define NOBODY 65534

struct operation {
	unsigned short num;
	short op, flags;
};

struct shm_info {
	int used;
	unsigned long total, resident, swapped, attempts, successes;
};

static char text[1 << 16];
static unsigned short values[8];

/* A file, but for the columns of which every run has others. */
static void show_file(const char *path, int others)
{
	int fd = sys_open(path, O_RDONLY);
	long n = syscall3(__NR_read, fd, text, sizeof(text)), kept = 0;
	int column = 0, in_word = 0, blanks = 0;

	syscall1(__NR_close, fd);
	for (long i = 0; i < n; i++) {
		char c = text[i];
		int space = c == ' ' || c == '\n', hidden;

		if (!space && !in_word)
			column++;
		hidden = !space && c >= '0' && c <= '9' && (others >> column & 1);
		if (!hidden || !in_word) {
			/* Numbers of another length have other blanks before them. */
			if (hidden)
				kept -= blanks;
			text[kept++] = hidden ? '#' : c;
		}
		blanks = c == ' ' ? blanks + 1 : 0;
		in_word = !space;
		if (c == '\n')
			column = 0;
	}
	syscall3(__NR_write, 1, text, kept);
}

static void become(int uid)
{
	syscall3(__NR_setresgid, uid, uid, uid);
	syscall2(__NR_setgroups, 0, 0);
	syscall3(__NR_setresuid, uid, uid, uid);
}

static long op(int id, int num, int value, int flags)
{
	struct operation one = { num, value, flags };

	return syscall3(__NR_semop, id, &one, 1);
}

static void memory(void)
{
	struct shmid64_ds ds;
	struct shminfo64 limits;
	struct shm_info info;
	long key = 0x46614c74, pid, at;
	int id, other;

	SHOW("nothing yet", syscall3(__NR_shmctl, 0, SHM_INFO, &info));
	print("used %d total %d resident %d\n", (long)info.used, info.total, info.resident);
	SHOW("limits", syscall3(__NR_shmctl, 0, IPC_INFO, &limits));
	print("%d %d %d\n", limits.shmmin, limits.shmmni, limits.shmseg);
	show_file("/proc/sysvipc/shm", 0);
	id = syscall3(__NR_shmget, key, 3 * PAGE_SIZE + 1, IPC_CREAT | 0640);
	SHOW("made", id < 0 ? id : 0);
	SHOW("again", syscall3(__NR_shmget, key, PAGE_SIZE, 0) == id);
	SHOW("exclusive", syscall3(__NR_shmget, key, 10 * PAGE_SIZE, IPC_CREAT | IPC_EXCL));
	SHOW("larger", syscall3(__NR_shmget, key, 4 * PAGE_SIZE + 1, 0));
	at = syscall3(__NR_shmat, id, 0, 0);
	*(volatile char *)at = 1;
	*(volatile char *)(at + 2 * PAGE_SIZE) = 1;
	other = syscall3(__NR_shmget, IPC_PRIVATE, 1, 0600);
	SHOW("two", syscall3(__NR_shmctl, 0, SHM_INFO, &info) >= 1);
	print("used %d total %d resident %d swapped %d attempts %d successes %d\n", (long)info.used, info.total,
	      info.resident, info.swapped, info.attempts, info.successes);
	SHOW("stat", syscall3(__NR_shmctl, id, IPC_STAT, &ds));
	print("%x %d %d %d %d %x size %d attached %d\n", (long)ds.shm_perm.key, (long)ds.shm_perm.uid, (long)ds.shm_perm.gid,
	      (long)ds.shm_perm.cuid, (long)ds.shm_perm.cgid, (long)ds.shm_perm.mode, ds.shm_segsz, ds.shm_nattch);
	SHOW("of a number", syscall3(__NR_shmctl, id & 0x7fff, SHM_STAT, &ds) == id);
	SHOW("of a number, by anybody", syscall3(__NR_shmctl, other & 0x7fff, SHM_STAT_ANY, &ds) == other);
	SHOW("of no number", syscall3(__NR_shmctl, 30000, SHM_STAT, &ds));
	SHOW("of none", syscall3(__NR_shmctl, -1, SHM_STAT, &ds));
	SHOW("no such command", syscall3(__NR_shmctl, id, 99, &ds));
	SHOW("a negative command", syscall3(__NR_shmctl, id, -1, &ds));
	SHOW("nowhere", syscall3(__NR_shmctl, id, IPC_STAT, 8));
	/* id, cpid, lpid, three times, and what swap has. */
	show_file("/proc/sysvipc/shm", 1 << 2 | 1 << 5 | 1 << 6 | 7 << 12);
	pid = fork_();
	if (pid == 0) {
		become(NOBODY);
		SHOW("another's", syscall3(__NR_shmget, key, 0, 0) == id);
		SHOW("another's to read", syscall3(__NR_shmget, key, 0, 0400));
		SHOW("another's to attach", syscall3(__NR_shmat, id, 0, SHM_RDONLY));
		SHOW("another's to look at", syscall3(__NR_shmctl, id, IPC_STAT, &ds));
		SHOW("another's by number", syscall3(__NR_shmctl, id & 0x7fff, SHM_STAT, &ds));
		SHOW("by anybody", syscall3(__NR_shmctl, id & 0x7fff, SHM_STAT_ANY, &ds) == id);
		SHOW("another's to set", syscall3(__NR_shmctl, id, IPC_SET, &ds));
		SHOW("another's to lock", syscall3(__NR_shmctl, id, SHM_LOCK, 0));
		SHOW("another's to remove", syscall3(__NR_shmctl, id, IPC_RMID, 0));
		exit_group(0);
	}
	wait_(pid);
	syscall3(__NR_shmctl, id, IPC_STAT, &ds);
	ds.shm_perm.uid = NOBODY;
	ds.shm_perm.mode = 0777 | 04000;
	SHOW("given away", syscall3(__NR_shmctl, id, IPC_SET, &ds));
	SHOW("locked", syscall3(__NR_shmctl, id, SHM_LOCK, 0));
	syscall3(__NR_shmctl, id, IPC_STAT, &ds);
	print("%d %d %x\n", (long)ds.shm_perm.uid, (long)ds.shm_perm.cuid, (long)ds.shm_perm.mode);
	SHOW("unlocked", syscall3(__NR_shmctl, id, SHM_UNLOCK, 0));
	pid = fork_();
	if (pid == 0) {
		become(NOBODY);
		SHOW("one's own", syscall3(__NR_shmget, key, 0, 0600) == id);
		at = syscall3(__NR_shmat, id, 0, 0);
		print("attached: %d, holds %d\n", (long)(at > 0), (long)*(volatile char *)at);
		SHOW("removed", syscall3(__NR_shmctl, id, IPC_RMID, 0));
		exit_group(0);
	}
	wait_(pid);
	show_file("/proc/sysvipc/shm", 1 << 2 | 1 << 5 | 1 << 6 | 7 << 12);
	SHOW("removed", syscall3(__NR_shmctl, id, IPC_RMID, 0));
	SHOW("to attach", syscall3(__NR_shmat, id, 0, 0) > 0);
	SHOW("detached", syscall1(__NR_shmdt, at));
	SHOW("other removed", syscall3(__NR_shmctl, other, IPC_RMID, 0));
	SHOW("other removed twice", syscall3(__NR_shmctl, other, IPC_RMID, 0));
}

/* What a child did in semop, which the parent lets go on. */
static long blocked(int id, int num, int value, int flags)
{
	long pid = fork_();

	if (pid == 0)
		exit_group((int)-op(id, num, value, flags));
	while (syscall4(__NR_semctl, id, num, value == 0 ? GETZCNT : GETNCNT, 0) == 0)
		sleep_ms(1);
	return pid;
}

static void show_values(int id, int n)
{
	long error = syscall4(__NR_semctl, id, 0, GETALL, values);

	print("values %d:", error);
	for (int i = 0; i < n; i++)
		print(" %d", (long)values[i]);
	print("\n");
}

static void semaphores(void)
{
	struct semid64_ds ds;
	int limits[10];
	long pid, time[2] = { 0, 5000000 };
	struct operation two[2] = { { 0, -1, 0 }, { 1, 1, 0 } };
	int id, other, key = 0x46614c75;

	SHOW("limits", syscall4(__NR_semctl, 0, 0, IPC_INFO, limits));
	for (int i = 0; i < 10; i++)
		print("%d ", (long)limits[i]);
	print("\n");
	SHOW("none", syscall3(__NR_semget, key, 0, IPC_CREAT | 0600));
	SHOW("too many", syscall3(__NR_semget, key, 32001, IPC_CREAT | 0600));
	SHOW("negative", syscall3(__NR_semget, key, -1, IPC_CREAT | 0600));
	SHOW("not there", syscall3(__NR_semget, key, 1, 0));
	id = syscall3(__NR_semget, key, 4, IPC_CREAT | 0640);
	SHOW("made", id < 0 ? id : 0);
	SHOW("again", syscall3(__NR_semget, key, 4, 0) == id);
	SHOW("more", syscall3(__NR_semget, key, 5, 0));
	SHOW("exclusive", syscall3(__NR_semget, key, 5, IPC_CREAT | IPC_EXCL));
	other = syscall3(__NR_semget, IPC_PRIVATE, 2, 0);
	SHOW("info", syscall4(__NR_semctl, 0, 0, SEM_INFO, limits) >= 1);
	print("used %d of %d semaphores\n", (long)limits[7], (long)limits[9]);
	show_file("/proc/sysvipc/sem", 1 << 2 | 3 << 9);

	SHOW("set", syscall4(__NR_semctl, id, 2, SETVAL, 5));
	SHOW("set too high", syscall4(__NR_semctl, id, 2, SETVAL, 32768));
	SHOW("set below", syscall4(__NR_semctl, id, 2, SETVAL, -1));
	SHOW("set none", syscall4(__NR_semctl, id, 4, SETVAL, 1));
	SHOW("value", syscall4(__NR_semctl, id, 2, GETVAL, 0));
	SHOW("whose", syscall4(__NR_semctl, id, 2, GETPID, 0) == syscall0(__NR_getpid));
	SHOW("of none", syscall4(__NR_semctl, id, -1, GETVAL, 0));
	show_values(id, 4);
	values[3] = 32767;
	SHOW("all", syscall4(__NR_semctl, id, 0, SETALL, values));
	values[0] = 40000;
	SHOW("all, one too high", syscall4(__NR_semctl, id, 0, SETALL, values));
	SHOW("all from nowhere", syscall4(__NR_semctl, id, 0, SETALL, 8));
	show_values(id, 4);

	SHOW("no such command", syscall4(__NR_semctl, id, 0, 99, 0));
	SHOW("no operations", syscall3(__NR_semop, id, two, 0));
	SHOW("501", syscall3(__NR_semop, id, two, 501));
	SHOW("from nowhere", syscall3(__NR_semop, id, 8, 1));
	SHOW("of no set", syscall3(__NR_semop, 0x7000000, two, 1));
	SHOW("a negative set", syscall3(__NR_semop, -1, two, 1));
	SHOW("no such semaphore", op(id, 4, 1, 0));
	SHOW("too high", op(id, 3, 1, 0));
	SHOW("up", op(id, 2, 1, 0));
	SHOW("down", op(id, 2, -6, 0));
	SHOW("down, at once", op(id, 2, -1, IPC_NOWAIT));
	SHOW("zero", op(id, 2, 0, 0));
	SHOW("zero, at once", op(id, 3, 0, IPC_NOWAIT));
	SHOW("both or none", syscall4(__NR_semtimedop, id, two, 2, time));
	time[1] = 1000000000;
	SHOW("a billion", syscall4(__NR_semtimedop, id, two, 2, time));
	show_values(id, 4);

	pid = blocked(id, 0, -2, 0);
	SHOW("waits", syscall4(__NR_semctl, id, 0, GETNCNT, 0));
	SHOW("one", op(id, 0, 1, 0));
	SHOW("still", syscall4(__NR_semctl, id, 0, GETNCNT, 0));
	SHOW("another", op(id, 0, 1, 0));
	SHOW("done", wait_(pid) >> 8);
	SHOW("whose", syscall4(__NR_semctl, id, 0, GETPID, 0) == pid);
	op(id, 1, 3, 0);
	pid = blocked(id, 1, 0, 0);
	SHOW("waits for zero", syscall4(__NR_semctl, id, 1, GETZCNT, 0));
	SHOW("set to zero", syscall4(__NR_semctl, id, 1, SETVAL, 0));
	SHOW("done", wait_(pid) >> 8);
	pid = blocked(id, 0, -1, 0);
	syscall2(__NR_kill, pid, 9);
	SHOW("killed", wait_(pid));
	SHOW("nobody waits", syscall4(__NR_semctl, id, 0, GETNCNT, 0));

	pid = fork_();
	if (pid == 0) {
		op(id, 0, 5, SEM_UNDO);
		op(id, 3, -7, SEM_UNDO);
		op(id, 2, 4, SEM_UNDO);
		op(id, 2, -1, 0);
		SHOW("too much to undo", op(id, 1, 32767, SEM_UNDO));
		SHOW("too much to undo", op(id, 1, -32767, 0));
		SHOW("too much to undo", op(id, 1, 2, SEM_UNDO));
		show_values(id, 4);
		exit_group(0);
	}
	wait_(pid);
	show_values(id, 4);
	pid = fork_();
	if (pid == 0) {
		op(id, 0, 5, SEM_UNDO);
		syscall4(__NR_semctl, id, 0, SETVAL, 3);
		exit_group(0);
	}
	wait_(pid);
	SHOW("forgotten", syscall4(__NR_semctl, id, 0, GETVAL, 0));
	pid = fork_();
	if (pid == 0) {
		op(id, 0, 4, SEM_UNDO);
		syscall1(__NR_unshare, 0x40000);
		SHOW("undone early", syscall4(__NR_semctl, id, 0, GETVAL, 0));
		exit_group(0);
	}
	wait_(pid);

	pid = fork_();
	if (pid == 0) {
		become(NOBODY);
		SHOW("another's", syscall3(__NR_semget, key, 0, 0600));
		SHOW("another's to read", op(id, 0, 0, IPC_NOWAIT));
		SHOW("another's to change", op(id, 0, 1, 0));
		SHOW("another's value", syscall4(__NR_semctl, id, 0, GETVAL, 0));
		SHOW("another's to set", syscall4(__NR_semctl, id, 0, SETVAL, 0));
		SHOW("another's by number", syscall4(__NR_semctl, id & 0x7fff, 0, SEM_STAT, &ds));
		SHOW("by anybody", syscall4(__NR_semctl, id & 0x7fff, 0, SEM_STAT_ANY, &ds) == id);
		SHOW("another's to remove", syscall4(__NR_semctl, id, 0, IPC_RMID, 0));
		exit_group(0);
	}
	wait_(pid);
	SHOW("stat", syscall4(__NR_semctl, id, 0, IPC_STAT, &ds));
	print("%x %x %d, changed %d\n", (long)ds.sem_perm.key, (long)ds.sem_perm.mode, ds.sem_nsems, (long)(ds.sem_otime > 0));
	ds.sem_perm.uid = NOBODY;
	ds.sem_perm.mode = 0600;
	SHOW("given away", syscall4(__NR_semctl, id, 0, IPC_SET, &ds));
	pid = fork_();
	if (pid == 0) {
		become(NOBODY);
		SHOW("one's own", op(id, 0, 1, 0));
		exit_group(0);
	}
	wait_(pid);
	pid = blocked(id, 2, -5, 0);
	SHOW("removed", syscall4(__NR_semctl, id, 0, IPC_RMID, 0));
	SHOW("told", wait_(pid) >> 8);
	SHOW("gone", syscall4(__NR_semctl, id, 0, GETVAL, 0));
	SHOW("other", syscall4(__NR_semctl, other, 0, IPC_RMID, 0));
}

#define MSG_STAT_ 11
#define MSG_INFO_ 12
#define MSG_STAT_ANY_ 13
#define MSG_NOERROR_ 010000
#define MSG_EXCEPT_ 020000
#define MSG_COPY_ 040000

static struct {
	long type;
	char text[8200];
} message;

static long send(int id, long type, const char *what, int flags)
{
	message.type = type;
	memcpy(message.text, what, string_length(what) + 1);
	return syscall4(__NR_msgsnd, id, &message, string_length(what), flags);
}

static void receive(int id, size_t room, long type, int flags)
{
	long n = syscall5(__NR_msgrcv, id, &message, room, type, flags);

	message.text[n < 0 ? 0 : n] = 0;
	if (n < 0)
		print("received %d\n", n);
	else
		print("received %d of type %d: %s\n", n, message.type, message.text);
}

static void messages(void)
{
	struct msqid64_ds ds;
	struct {
		int pool, map, max, mnb, mni, ssz, tql;
		unsigned short seg;
	} info;
	int id, key = 0x46614c76;
	long pid;

	SHOW("limits", syscall3(__NR_msgctl, 0, IPC_INFO, &info));
	print("%d %d %d %d ", (long)info.pool, (long)info.map, (long)info.max, (long)info.mnb);
	print("%d %d %d %d\n", (long)info.mni, (long)info.ssz, (long)info.tql, (long)info.seg);
	SHOW("not there", syscall2(__NR_msgget, key, 0));
	id = syscall2(__NR_msgget, key, IPC_CREAT | 0640);
	SHOW("made", id < 0 ? id : 0);
	SHOW("again", syscall2(__NR_msgget, key, 0640) == id);
	SHOW("exclusive", syscall2(__NR_msgget, key, IPC_CREAT | IPC_EXCL));
	SHOW("one", send(id, 3, "three", 0));
	SHOW("another", send(id, 1, "one", 0));
	SHOW("nothing", send(id, 2, "", 0));
	SHOW("more", send(id, 3, "three again", 0));
	SHOW("no type", send(id, 0, "x", 0));
	SHOW("negative", send(id, -1, "x", 0));
	SHOW("too long", syscall4(__NR_msgsnd, id, &message, 8193, 0));
	SHOW("bad memory", syscall4(__NR_msgsnd, id, 8, 1, 0));
	SHOW("no queue", send(0x700000, 1, "x", 0));
	SHOW("used", syscall3(__NR_msgctl, 0, MSG_INFO_, &info));
	print("%d queues %d messages %d bytes\n", (long)info.pool, (long)info.map, (long)info.tql);
	show_file("/proc/sysvipc/msg", 1 << 2 | 3 << 6 | 7 << 12);
	SHOW("stat", syscall3(__NR_msgctl, id, IPC_STAT, &ds));
	print("%d bytes %d messages at most %d, ", ds.msg_cbytes, ds.msg_qnum, ds.msg_qbytes);
	print("sent by us %d, received %d\n", (long)(ds.msg_lspid == syscall0(__NR_getpid)), (long)ds.msg_lrpid);
	SHOW("of a number", syscall3(__NR_msgctl, id & 0x7fff, MSG_STAT_, &ds) == id);
	receive(id, 100, 2, MSG_COPY_ | IPC_NOWAIT);
	receive(id, 100, 4, MSG_COPY_ | IPC_NOWAIT);
	receive(id, 100, 4, MSG_COPY_);
	receive(id, 4, 3, 0);
	receive(id, 4, 3, MSG_NOERROR_);
	receive(id, 100, -2, 0);
	receive(id, 100, 3, MSG_EXCEPT_);
	receive(id, 100, 9, IPC_NOWAIT);
	receive(id, 100, 0, 0);
	receive(id, 100, 0, IPC_NOWAIT);
	receive(id, -1, 0, IPC_NOWAIT);
	SHOW("bad memory", send(id, 1, "lost", 0));
	SHOW("bad memory", syscall5(__NR_msgrcv, id, 8, 10, 0, IPC_NOWAIT));
	receive(id, 100, 0, IPC_NOWAIT);

	pid = fork_();
	if (pid == 0)
		exit_group((int)(syscall5(__NR_msgrcv, id, &message, 100, 7, 0) + message.text[0]));
	until_asleep(pid);
	SHOW("not for the child", send(id, 6, "A", 0));
	SHOW("for the child", send(id, 7, "B", 0));
	SHOW("has it", wait_(pid) >> 8);
	receive(id, 100, 0, IPC_NOWAIT);
	pid = fork_();
	if (pid == 0)
		exit_group((int)-syscall5(__NR_msgrcv, id, &message, 1, 7, 0));
	until_asleep(pid);
	SHOW("too long for the child", send(id, 7, "BBB", 0));
	SHOW("told", wait_(pid) >> 8);
	receive(id, 100, 0, IPC_NOWAIT);

	memset(message.text, 'x', 8192);
	for (int i = 0; i < 2; i++) {
		message.type = 1;
		syscall4(__NR_msgsnd, id, &message, 8192, 0);
	}
	SHOW("full", send(id, 1, "x", IPC_NOWAIT));
	pid = fork_();
	if (pid == 0)
		exit_group((int)-send(id, 5, "at last", 0));
	until_asleep(pid);
	SHOW("room", syscall5(__NR_msgrcv, id, &message, 8192, 0, 0));
	SHOW("sent", wait_(pid) >> 8);
	receive(id, 100, 5, IPC_NOWAIT);
	syscall3(__NR_msgctl, id, IPC_STAT, &ds);
	ds.msg_qbytes = 100;
	SHOW("smaller", syscall3(__NR_msgctl, id, IPC_SET, &ds));
	SHOW("full", send(id, 1, "x", IPC_NOWAIT));
	pid = fork_();
	if (pid == 0) {
		become(NOBODY);
		SHOW("another's", syscall2(__NR_msgget, key, 0400));
		SHOW("another's to send", send(id, 1, "x", IPC_NOWAIT));
		SHOW("another's to receive", syscall5(__NR_msgrcv, id, &message, 100, 0, IPC_NOWAIT));
		SHOW("another's to look at", syscall3(__NR_msgctl, id, IPC_STAT, &ds));
		SHOW("by anybody", syscall3(__NR_msgctl, id & 0x7fff, MSG_STAT_ANY_, &ds) == id);
		SHOW("another's to set", syscall3(__NR_msgctl, id, IPC_SET, &ds));
		SHOW("another's to remove", syscall3(__NR_msgctl, id, IPC_RMID, 0));
		exit_group(0);
	}
	wait_(pid);
	pid = fork_();
	if (pid == 0)
		exit_group((int)-send(id, 5, "never", 0));
	until_asleep(pid);
	SHOW("removed", syscall3(__NR_msgctl, id, IPC_RMID, 0));
	SHOW("told", wait_(pid) >> 8);
	SHOW("gone", syscall3(__NR_msgctl, id, IPC_STAT, &ds));
}

int main(int argc, char **argv, char **envp)
{
	(void)argc, (void)argv, (void)envp;
	memory();
	semaphores();
	messages();
	return 0;
}
