import { readdirSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { extname, join, relative, sep } from "node:path";

/** What a page asks for a trace as: they are counted from 1. */
const TRACE = /^\/trace-(\d)\.fltrace$/;

const TYPES: Readonly<Record<string, string>> = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml" };

/** Nothing from elsewhere, and no code but the site's own files: what a trace says cannot become any. */
const HEADERS: Readonly<Record<string, string>> = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; worker-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cache-Control": "no-store",
};

/**
 * A server of a built site and of traces, for this computer's browsers: it is to listen on
 * 127.0.0.1. It answers GET and HEAD for what stood in the folder when it was made, and nothing else;
 * a request that was sent to another name (DNS rebinding), or by another site, is refused.
 */
export function viewServer(folder: string, traces: readonly Uint8Array[]): Server {
  const files = new Map(filesBelow(folder).map((path) => [`/${relative(folder, path).split(sep).join("/")}`, path]));
  const server = createServer((request, response) => {
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const refusal = refusalOf(request, port);
    if (refusal !== null) return answer(request, response, refusal, "text/plain", new Uint8Array());
    const path = request.url!.split("?", 1)[0]!;
    const trace = traces[Number(TRACE.exec(path)?.[1] ?? 0) - 1];
    if (trace !== undefined) return answer(request, response, 200, "application/octet-stream", trace);
    const file = files.get(path === "/" ? "/index.html" : path);
    if (file === undefined) return answer(request, response, 404, "text/plain", new Uint8Array());
    return answer(request, response, 200, TYPES[extname(file)] ?? "application/octet-stream", readFileSync(file));
  });
  return server;
}

/** The status that a request is refused with, or null. */
function refusalOf({ method, headers, url }: IncomingMessage, port: number): number | null {
  if (headers.host !== `127.0.0.1:${port}` && headers.host !== `localhost:${port}`) return 421;
  if (method !== "GET" && method !== "HEAD") return 405;
  if (url === undefined) return 400;
  const from = headers["sec-fetch-site"];
  // A link from elsewhere may lead here; a script of elsewhere may not look.
  const visits = headers["sec-fetch-mode"] === "navigate" && headers["sec-fetch-dest"] === "document";
  return from === undefined || from === "same-origin" || from === "none" || visits ? null : 403;
}

function answer({ method }: IncomingMessage, response: ServerResponse, status: number, type: string, body: Uint8Array): void {
  response.writeHead(status, { ...HEADERS, "Content-Type": type, "Content-Length": body.length });
  response.end(method === "HEAD" ? undefined : body);
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true }).flatMap((entry) => (entry.isFile() ? [join(entry.parentPath, entry.name)] : []));
}
