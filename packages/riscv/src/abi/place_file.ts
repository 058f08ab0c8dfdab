import { hostFile, O, OpenFile, pathOf, type Kernel, type PathNode } from "@faultline/kernel";
import { byteString } from "./user.js";

/**
 * Gives the guest a program's file at a path, before anything runs; null where no file can be there. `readAheadPages` as
 * for `mountHost`.
 */
export function placeFile({ m }: Kernel, path: string, bytes: Uint8Array, readAheadPages?: number): PathNode | null {
  const name = path.slice(path.lastIndexOf("/") + 1);
  return m.vfs.mountHost(byteString(path), byteString(name), hostFile(bytes, 0o755), readAheadPages);
}

/** Opens such a file, to be executed. */
export function openPlaced(node: PathNode): OpenFile {
  const file = new OpenFile(pathOf(node), node.inode, node.inode.ops!, O.RDONLY);
  file.node = node;
  return file;
}
