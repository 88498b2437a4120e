/**
 * What lies between a lab and its server in many companies: TLS with a certificate authority of its own, and a CONNECT proxy
 * that wants an account. The server's name is known to the proxy alone.
 */
import { mkdirSync, readFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";

export interface PrivateNetwork {
  /** The server's address, which nobody reaches but through the proxy. */
  url: string;
  proxyUrl: string;
  /** The proxy's password. */
  password: string;
  /** The authority's certificate. */
  authority: string;
  /** How many connections to the server the proxy has made. */
  passed(): number;
  stop(): Promise<void>;
}

const name = "buildomat.lab.test";

/** `serverUrl` is plain http on this host. */
export async function openPrivateNetwork(directory: string, serverUrl: string): Promise<PrivateNetwork> {
  mkdirSync(directory, { recursive: true });
  const authority = join(directory, "authority.pem");
  const key = join(directory, "key.pem");
  const words =
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout key.pem -out authority.pem";
  const made = Bun.spawnSync(
    [...words.split(" "), "-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`],
    { cwd: directory },
  );
  if (!made.success) throw new Error(made.stderr.toString());
  const server = Bun.serve({
    port: 0,
    idleTimeout: 0,
    tls: { key: readFileSync(key), cert: readFileSync(authority) },
    fetch: async (request) => {
      const { pathname, search } = new URL(request.url);
      const body = request.body === null ? null : await request.arrayBuffer();
      const headers = new Headers(request.headers);
      headers.delete("host");
      return await fetch(`${serverUrl}${pathname}${search}`, {
        method: request.method,
        headers,
        body,
        redirect: "manual",
        decompress: false,
      });
    },
  });
  const password = "a-password-of-the-proxy";
  const account = `Basic ${Buffer.from(`lab:${password}`).toString("base64")}`;
  const sockets = new Set<Socket>();
  let passed = 0;
  const proxy = createServer((near) => {
    const keep = (socket: Socket): void => {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => sockets.delete(socket));
    };
    keep(near);
    let head = "";
    const onData = (bytes: Buffer): void => {
      head += bytes.toString("latin1");
      if (!head.includes("\r\n\r\n")) return;
      near.off("data", onData);
      const isKnown = head.startsWith(`CONNECT ${name}:443 `);
      if (!isKnown || !head.includes(account)) {
        near.end(`HTTP/1.1 ${isKnown ? "407 Proxy Authentication Required" : "502 Bad Gateway"}\r\n\r\n`);
        return;
      }
      passed += 1;
      const far = connect(server.port ?? 0, "127.0.0.1", () => {
        near.write("HTTP/1.1 200 Connection established\r\n\r\n");
        near.pipe(far).pipe(near);
      });
      keep(far);
      far.on("close", () => near.destroy());
      near.on("close", () => far.destroy());
    };
    near.on("data", onData);
  });
  await new Promise<void>((resolve) => {
    proxy.listen(0, "127.0.0.1", () => resolve());
  });
  const address = proxy.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    url: `https://${name}`,
    proxyUrl: `http://lab:${password}@127.0.0.1:${port}`,
    password,
    authority,
    passed: () => passed,
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => {
        proxy.close(resolve);
      });
      await server.stop(true);
    },
  };
}
