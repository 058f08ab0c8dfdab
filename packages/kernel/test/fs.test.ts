import { expect, test } from "vitest";
import { Errno, makeSocketPair, memfdCreate, SockType, type Inode } from "../src/index.js";
import { hugetlbFileSetup } from "../src/fs/hugetlbfs.js";
import { makedev, O, SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET } from "../src/fs/vfs.js";
import { bytesOf, textOf } from "../src/fs/pseudo.js";
import { cat, echo, ls, makeFs, open } from "./fs_harness.js";

test("files are made, written, read, truncated and removed", () => {
  const { k, run } = makeFs();
  const { vfs } = k.m;
  run(function* () {
    expect(yield* echo(k, "hello", "/tmp/a")).toBe(6);
    expect(yield* cat(k, "/tmp/a")).toBe("hello\n");
    expect(yield* cat(k, "/tmp/a", 2)).toBe("hello\n");
    expect(yield* echo(k, "x", "/tmp/a")).toBe(2);
    expect(yield* cat(k, "/tmp/a")).toBe("x\n");
    const appending = yield* open(k, "/tmp/a", O.WRONLY | O.APPEND);
    expect(yield* vfs.write(k, appending, bytesOf("y\n"))).toBe(2);
    expect(appending.pos).toBe(4);
    yield* vfs.put(k, appending);
    expect(yield* cat(k, "/tmp/a")).toBe("x\ny\n");
    expect(yield* vfs.stat(k, "/tmp/a", true)).toMatchObject({ mode: 0o100644, nlink: 1, size: 4, blocks: 8, uid: 0 });
    expect(yield* vfs.open(k, "/tmp/a", O.RDWR | O.CREAT | O.EXCL, 0o600)).toBe(-Errno.EEXIST);
    expect(yield* vfs.unlink(k, "/tmp/a")).toBe(0);
    expect(yield* cat(k, "/tmp/a")).toBe(-Errno.ENOENT);
    expect(yield* vfs.unlink(k, "/tmp/a")).toBe(-Errno.ENOENT);
  });
});

test("page cache pages are counted, and freed with the last name and the last description", () => {
  const { k, run } = makeFs();
  const { vfs, vmstat, memcgs } = k.m;
  run(function* () {
    const file = yield* open(k, "/tmp/big", O.RDWR | O.CREAT);
    expect(yield* vfs.write(k, file, new Uint8Array(40960).fill(7))).toBe(40960);
    expect(vmstat.pages.shmem).toBe(10);
    expect(vmstat.pages.filePages).toBe(10);
    expect(memcgs.root.counters.shmem).toBe(10);
    expect(yield* vfs.unlink(k, "/tmp/big")).toBe(0);
    expect(vmstat.pages.shmem).toBe(10);
    const buffer = new Uint8Array(1);
    expect(yield* vfs.read(k, file, buffer, 40959)).toBe(1);
    expect(buffer[0]).toBe(7);
    expect(yield* vfs.readlink(k, "/proc/self/fd/0")).toBe("pipe:[1]");
    yield* vfs.put(k, file);
    expect(vmstat.pages.shmem).toBe(0);
    expect(memcgs.root.counters.file).toBe(0);
  });
});

test("a file that no directory has is of no type, and of the file system of its like", () => {
  const { k, run } = makeFs();
  run(function* () {
    const fd = yield* k.userfaultfdFile.newUserfaultfd(k, 0);
    const file = k.m.current!.process!.files.get(fd)!;
    expect(yield* k.m.vfs.fstat(k, file)).toMatchObject({ mode: 0o600, nlink: 1, size: 0 });
    expect(yield* k.m.vfs.fstatfs(k, file)).toMatchObject({ type: 0x09041934 });
    // As observed on Linux 6.18.
    const memfd = memfdCreate(k, "a", 0);
    expect(yield* k.m.vfs.fstatfs(k, memfd)).toMatchObject({ type: 0x01021994, bsize: 4096, blocks: 0, files: 0 });
    yield* k.m.vfs.put(k, memfd);
    const huge = yield* hugetlbFileSetup(k, k.m.hugetlb.defaultHstate, "h", 0);
    expect(yield* k.m.vfs.fstatfs(k, huge)).toMatchObject({ type: 0x958458f6, bsize: 2 ** 21 });
    yield* k.m.vfs.put(k, huge);
    for (const end of makeSocketPair(k, SockType.STREAM, 0)) {
      expect(yield* k.m.vfs.fstatfs(k, end)).toMatchObject({ type: 0x534f434b });
      yield* k.m.vfs.put(k, end);
    }
  });
});

test("holes read as zeros, also where a file was cut and grew again", () => {
  const { k, run } = makeFs();
  const { vfs, vmstat } = k.m;
  run(function* () {
    const file = yield* open(k, "/tmp/sparse", O.RDWR | O.CREAT);
    expect(yield* vfs.write(k, file, bytesOf("end"), 1_000_000)).toBe(3);
    expect(vmstat.pages.shmem).toBe(1);
    expect(file.inode.size).toBe(1_000_003);
    const buffer = new Uint8Array(4).fill(9);
    expect(yield* vfs.read(k, file, buffer, 5000)).toBe(4);
    expect([...buffer]).toEqual([0, 0, 0, 0]);
    expect(yield* vfs.read(k, file, buffer, 1_000_001)).toBe(2);
    expect(yield* vfs.read(k, file, buffer, 1_000_003)).toBe(0);
    expect(yield* vfs.lseek(k, file, 0, SEEK_DATA)).toBe(244 * 4096);
    expect(yield* vfs.lseek(k, file, 0, SEEK_HOLE)).toBe(0);
    expect(yield* vfs.lseek(k, file, 1_000_000, SEEK_HOLE)).toBe(1_000_003);
    expect(yield* vfs.lseek(k, file, 1_000_003, SEEK_DATA)).toBe(-Errno.ENXIO);
    expect(yield* vfs.ftruncate(k, file, 1_000_001)).toBe(0);
    expect(yield* vfs.ftruncate(k, file, 1_000_003)).toBe(0);
    expect(yield* vfs.read(k, file, buffer, 1_000_000)).toBe(3);
    expect([...buffer.subarray(0, 3)]).toEqual([101, 0, 0]);
    expect(yield* vfs.ftruncate(k, file, 0)).toBe(0);
    expect(vmstat.pages.shmem).toBe(0);
    expect(yield* vfs.ftruncate(k, file, -1)).toBe(-Errno.EINVAL);
    expect(yield* vfs.lseek(k, file, 10, SEEK_SET)).toBe(10);
    expect(yield* vfs.lseek(k, file, -3, SEEK_CUR)).toBe(7);
    expect(yield* vfs.lseek(k, file, 5, SEEK_END)).toBe(5);
    expect(yield* vfs.lseek(k, file, -1, SEEK_END)).toBe(-Errno.EINVAL);
    yield* vfs.put(k, file);
  });
});

test("a full tmpfs answers ENOSPC, having taken what fits", () => {
  const { k, run } = makeFs({ frames: 256 });
  const { vfs, zones } = k.m;
  run(function* () {
    const file = yield* open(k, "/tmp/full", O.RDWR | O.CREAT);
    const half = zones.totalPages() >> 1;
    expect(yield* vfs.write(k, file, new Uint8Array(4096 * (half + 1)))).toBe(4096 * half);
    expect(yield* vfs.write(k, file, new Uint8Array(1))).toBe(-Errno.ENOSPC);
    expect(yield* vfs.fstatfs(k, file)).toMatchObject({ type: 0x01021994, bfree: 0, blocks: half });
    yield* vfs.put(k, file);
    expect(yield* vfs.unlink(k, "/tmp/full")).toBe(0);
    expect(yield* vfs.statfs(k, "/tmp")).toMatchObject({ bfree: half });
  });
});

test("paths resolve as in Linux", () => {
  const { k, run } = makeFs();
  const { vfs } = k.m;
  run(function* () {
    expect(yield* vfs.mkdir(k, "/tmp/d/", 0o777)).toBe(0);
    expect(yield* vfs.mkdir(k, "/tmp/d", 0o777)).toBe(-Errno.EEXIST);
    expect(yield* vfs.mkdir(k, "/tmp/no/such", 0o777)).toBe(-Errno.ENOENT);
    expect(yield* echo(k, "1", "/tmp/d/f")).toBe(2);
    expect(yield* cat(k, "/tmp/./d/../d//f")).toBe("1\n");
    expect(yield* cat(k, "/tmp/d/f/")).toBe(-Errno.ENOTDIR);
    expect(yield* cat(k, "/tmp/d/f/x")).toBe(-Errno.ENOTDIR);
    expect(yield* cat(k, "/tmp/d")).toBe(-Errno.EISDIR);
    expect(yield* cat(k, "")).toBe(-Errno.ENOENT);
    expect(yield* cat(k, `/tmp/${"n".repeat(256)}`)).toBe(-Errno.ENAMETOOLONG);
    expect(yield* cat(k, `/tmp/${"n".repeat(255)}`)).toBe(-Errno.ENOENT);
    expect(yield* cat(k, `/dev/${"n".repeat(256)}`)).toBe(-Errno.ENAMETOOLONG);
    for (const dir of ["/proc", "/proc/self/fd", "/sys"]) expect(yield* cat(k, `${dir}/${"n".repeat(256)}`)).toBe(-Errno.ENOENT);
    expect(yield* cat(k, "/".repeat(4096))).toBe(-Errno.ENAMETOOLONG);
    expect(yield* vfs.open(k, "/tmp/d", O.WRONLY, 0)).toBe(-Errno.EISDIR);
    expect(yield* vfs.open(k, "/tmp/d", O.RDONLY | O.CREAT, 0)).toBe(-Errno.EISDIR);
    expect(yield* vfs.open(k, "/tmp/d/f", O.RDONLY | O.DIRECTORY, 0)).toBe(-Errno.ENOTDIR);
    expect(yield* vfs.open(k, "/tmp/d/new/", O.RDWR | O.CREAT, 0o600)).toBe(-Errno.EISDIR);
    expect(yield* vfs.chdir(k, "/tmp/d")).toBe(0);
    expect(k.m.current!.process!.fs.cwd).toBe("/tmp/d");
    expect(yield* cat(k, "f")).toBe("1\n");
    expect(yield* cat(k, "../../tmp/d/f")).toBe("1\n");
    expect(yield* cat(k, "../../../../../tmp/d/f")).toBe("1\n");
    expect(yield* vfs.chdir(k, "f")).toBe(-Errno.ENOTDIR);
    const dir = yield* open(k, "/tmp/d", O.RDONLY | O.DIRECTORY);
    yield* vfs.chdir(k, "/");
    expect(yield* vfs.stat(k, "f", true, dir)).toMatchObject({ size: 2 });
    expect(yield* vfs.rmdir(k, "/tmp/d")).toBe(-Errno.ENOTEMPTY);
    expect(yield* vfs.unlink(k, "/tmp/d")).toBe(-Errno.EISDIR);
    expect(yield* vfs.rmdir(k, "/tmp/d/f")).toBe(-Errno.ENOTDIR);
    expect(yield* vfs.rmdir(k, "/tmp/d/.")).toBe(-Errno.EINVAL);
    expect(yield* vfs.rmdir(k, "/tmp")).toBe(-Errno.EBUSY);
    expect(yield* vfs.unlink(k, "/tmp/d/f")).toBe(0);
    expect(yield* vfs.rmdir(k, "/tmp/d")).toBe(0);
    expect(yield* vfs.open(k, "f", O.RDWR | O.CREAT, 0o600, dir)).toBe(-Errno.ENOENT);
    yield* vfs.put(k, dir);
  });
});

test("symbolic links are followed, but not for ever", () => {
  const { k, run } = makeFs();
  const { vfs } = k.m;
  run(function* () {
    expect(yield* vfs.symlink(k, "target", "/tmp/link")).toBe(0);
    expect(yield* vfs.symlink(k, "loop", "/tmp/loop")).toBe(0);
    expect(yield* vfs.symlink(k, "/tmp", "/root")).toBe(0);
    expect(yield* cat(k, "/tmp/link")).toBe(-Errno.ENOENT);
    expect(yield* echo(k, "through", "/tmp/link")).toBe(8);
    expect(yield* cat(k, "/root/target")).toBe("through\n");
    expect(yield* cat(k, "/tmp/loop")).toBe(-Errno.ELOOP);
    expect(yield* vfs.open(k, "/tmp/link", O.RDONLY | O.NOFOLLOW, 0)).toBe(-Errno.ELOOP);
    expect(yield* vfs.readlink(k, "/tmp/link")).toBe("target");
    expect(yield* vfs.readlink(k, "/tmp/target")).toBe(-Errno.EINVAL);
    expect(yield* vfs.stat(k, "/tmp/link", false)).toMatchObject({ mode: 0o120777, size: 6 });
    expect(yield* vfs.stat(k, "/tmp/link", true)).toMatchObject({ mode: 0o100644 });
    expect(yield* vfs.open(k, "/tmp/link", O.RDWR | O.CREAT | O.EXCL, 0o600)).toBe(-Errno.EEXIST);
  });
});

test("rename and link", () => {
  const { k, run } = makeFs();
  const { vfs } = k.m;
  run(function* () {
    yield* vfs.mkdir(k, "/tmp/a", 0o755);
    yield* vfs.mkdir(k, "/tmp/a/b", 0o755);
    yield* echo(k, "1", "/tmp/one");
    yield* echo(k, "2", "/tmp/two");
    expect(yield* vfs.rename(k, "/tmp/one", "/tmp/a/uno")).toBe(0);
    expect(yield* cat(k, "/tmp/a/uno")).toBe("1\n");
    expect(yield* vfs.rename(k, "/tmp/two", "/tmp/a/uno")).toBe(0);
    expect(yield* cat(k, "/tmp/a/uno")).toBe("2\n");
    expect(k.m.vmstat.pages.shmem).toBe(1);
    expect(yield* vfs.rename(k, "/tmp/a", "/tmp/a/b/c")).toBe(-Errno.EINVAL);
    expect(yield* vfs.rename(k, "/tmp/a/b", "/tmp/a")).toBe(-Errno.ENOTEMPTY);
    expect(yield* vfs.rename(k, "/tmp/a/uno", "/tmp/a/b")).toBe(-Errno.EISDIR);
    expect(yield* vfs.rename(k, "/tmp/a/uno", "/elsewhere")).toBe(-Errno.EXDEV);
    expect(yield* vfs.rename(k, "/tmp/nothing", "/tmp/x")).toBe(-Errno.ENOENT);
    expect(yield* vfs.link(k, (yield* vfs.lookup(k, "/tmp/a/uno", false)) as Inode, "/tmp/due")).toBe(0);
    expect(yield* vfs.stat(k, "/tmp/due", true)).toMatchObject({ nlink: 2 });
    expect(yield* vfs.link(k, (yield* vfs.lookup(k, "/tmp/a", false)) as Inode, "/tmp/dir")).toBe(-Errno.EPERM);
    yield* vfs.unlink(k, "/tmp/a/uno");
    expect(yield* cat(k, "/tmp/due")).toBe("2\n");
  });
});

test("directories are listed in passes of any size", () => {
  const { k, run } = makeFs();
  const { vfs } = k.m;
  run(function* () {
    expect(yield* ls(k, "/")).toEqual(["dev", "proc", "sys", "tmp"]);
    for (let i = 0; i < 20; i++) yield* echo(k, "", `/tmp/file${i}`);
    expect(yield* ls(k, "/tmp", 64)).toEqual(Array.from({ length: 20 }, (_, i) => `file${i}`));
    const dir = yield* open(k, "/tmp", O.RDONLY | O.DIRECTORY);
    expect(yield* vfs.getdents64(k, dir, 10)).toBe(-Errno.EINVAL);
    const file = yield* open(k, "/tmp/file0", O.RDONLY);
    expect(yield* vfs.getdents64(k, file, 100)).toBe(-Errno.ENOTDIR);
  });
});

test("O_TMPFILE has no name and is gone when closed", () => {
  const { k, run } = makeFs();
  const { vfs } = k.m;
  run(function* () {
    const file = yield* open(k, "/tmp", O.RDWR | O.TMPFILE, 0o600);
    expect(yield* vfs.write(k, file, bytesOf("secret"))).toBe(6);
    expect(yield* ls(k, "/tmp")).toEqual([]);
    expect(yield* vfs.fstat(k, file)).toMatchObject({ nlink: 0, size: 6 });
    yield* vfs.put(k, file);
    expect(k.m.vmstat.pages.shmem).toBe(0);
    expect(yield* vfs.open(k, "/proc", O.RDWR | O.TMPFILE, 0o600)).toBe(-Errno.EOPNOTSUPP);
  });
});

test("access modes and kinds of transfer", () => {
  const { k, run } = makeFs();
  const { vfs } = k.m;
  run(function* () {
    yield* echo(k, "abc", "/tmp/f");
    const reading = yield* open(k, "/tmp/f", O.RDONLY);
    expect(yield* vfs.write(k, reading, bytesOf("x"))).toBe(-Errno.EBADF);
    expect(yield* vfs.ftruncate(k, reading, 0)).toBe(-Errno.EINVAL);
    const path = yield* open(k, "/tmp/f", O.PATH);
    expect(yield* vfs.read(k, path, new Uint8Array(1))).toBe(-Errno.EBADF);
    expect(yield* vfs.fstat(k, path)).toMatchObject({ size: 4 });
    expect(yield* vfs.ioctl(k, reading, 0x5401, 0)).toBe(-Errno.ENOTTY);
    expect(yield* vfs.access(k, "/tmp/f", 1)).toBe(-Errno.EACCES);
    expect(yield* vfs.access(k, "/tmp/f", 6)).toBe(0);
    expect(yield* vfs.access(k, "/tmp/g", 0)).toBe(-Errno.ENOENT);
  });
});

test("devices", () => {
  const { k, run } = makeFs();
  const { vfs } = k.m;
  vfs.registerDevice({ name: "mine", rdev: makedev(240, 300), ops: {} });
  run(function* () {
    const buffer = new Uint8Array(16).fill(1);
    const nothing = yield* open(k, "/dev/null", O.RDWR);
    expect(yield* vfs.read(k, nothing, buffer)).toBe(0);
    expect(yield* vfs.write(k, nothing, buffer)).toBe(16);
    const zero = yield* open(k, "/dev/zero", O.RDWR);
    expect(yield* vfs.read(k, zero, buffer)).toBe(16);
    expect(buffer.every((b) => b === 0)).toBe(true);
    expect(yield* vfs.lseek(k, zero, 100, SEEK_SET)).toBe(0);
    const full = yield* open(k, "/dev/full", O.RDWR);
    expect(yield* vfs.write(k, full, buffer)).toBe(-Errno.ENOSPC);
    const random = yield* open(k, "/dev/urandom", O.RDONLY);
    expect(yield* vfs.read(k, random, buffer)).toBe(16);
    expect(buffer.some((b) => b !== 0)).toBe(true);
    expect(yield* vfs.stat(k, "/dev/null", true)).toMatchObject({ mode: 0o020666, rdev: 0x103 });
    expect(yield* vfs.stat(k, "/dev/mine", true)).toMatchObject({ mode: 0o020600, rdev: makedev(240, 300) });
    const mine = yield* open(k, "/dev/mine", O.RDWR);
    expect(yield* vfs.read(k, mine, buffer)).toBe(-Errno.EINVAL);
    expect(yield* vfs.open(k, "/dev/other", O.RDWR | O.CREAT, 0o600)).toBe(-Errno.EACCES);
    expect(yield* vfs.open(k, "/dev/tty", O.RDWR, 0)).toBe(-Errno.ENOENT);
  });
});

test("standard streams are pipes to the host", () => {
  const { k, run, output } = makeFs({ stdin: "two\nlines\n" });
  const { vfs } = k.m;
  run(function* () {
    const { files } = k.m.current!.process!;
    const buffer = new Uint8Array(4);
    expect(yield* vfs.read(k, files.get(0)!, buffer)).toBe(4);
    expect(textOf(buffer)).toBe("two\n");
    expect(yield* cat(k, "/dev/stdin")).toBe("lines\n");
    expect(yield* vfs.read(k, files.get(0)!, buffer)).toBe(0);
    expect(yield* vfs.write(k, files.get(1)!, bytesOf("out"))).toBe(3);
    expect(yield* echo(k, "err", "/dev/stderr")).toBe(4);
    expect(yield* vfs.read(k, files.get(1)!, buffer)).toBe(-Errno.EBADF);
    expect(yield* vfs.lseek(k, files.get(1)!, 0, SEEK_CUR)).toBe(-Errno.ESPIPE);
    expect(yield* vfs.write(k, files.get(1)!, buffer, 5)).toBe(-Errno.ESPIPE);
    expect(yield* vfs.ioctl(k, files.get(1)!, 0x5401, 0)).toBe(-Errno.ENOTTY);
    expect(yield* vfs.fstat(k, files.get(1)!)).toMatchObject({ mode: 0o010600 });
  });
  expect(output).toEqual({ 1: "out", 2: "err\n" });
});
