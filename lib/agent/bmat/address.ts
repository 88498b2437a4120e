/** `bmat address`: the IP addresses that the lab gives a job, as far as they make sense. */
import { type Bmat, type Command, noArguments, request, unexpected } from "./command.ts";
import { type Options, UsageError } from "./options.ts";
import type { Address } from "./frames.ts";
import { type Network, parseAddress, parseNetwork, showAddress } from "./ipv4.ts";
import { debugText } from "../os-error.ts";
import { type Column, readColumnNames, type Row, showTable } from "./table.ts";

const columns: Column[] = [
  { name: "name", width: 16, isDefault: true },
  { name: "cidr", width: 18, isDefault: true },
  { name: "first", width: 15, isDefault: true },
  { name: "last", width: 15, isDefault: true },
  { name: "count", width: 5, isDefault: true },
  { name: "family", width: 6, isDefault: false },
  { name: "network", width: 15, isDefault: false },
  { name: "mask", width: 15, isDefault: false },
  { name: "routed", width: 6, isDefault: false },
  { name: "gateway", width: 15, isDefault: false },
];

export const addressCommands: Record<string, Command> = {
  list: {
    usage: "[-f NAME] [-o COLUMNS] [-s COLUMNS] [-S COLUMNS] [-H] [-p]",
    alias: "ls",
    flags: {
      f: "takes a value",
      o: "takes a value",
      s: "takes a value",
      S: "takes a value",
      H: "alone",
      // No column here has a number that is shown otherwise.
      p: "alone",
    },
    takes: noArguments,
    run: listAddresses,
  },
};

/** Hidden: for those who work on buildomat itself. */
export const engineeringCommands: Record<string, Command> = {
  metadata: { usage: null, flags: {}, takes: noArguments, run: dumpMetadata },
};

async function askAddresses({ client }: Bmat): Promise<Address[]> {
  const reply = await request(client, "MetadataAddresses");
  if (typeof reply !== "object" || !("MetadataAddressesResult" in reply)) throw unexpected(reply);
  return reply.MetadataAddressesResult;
}

async function listAddresses({ flags }: Options, bmat: Bmat): Promise<void> {
  const list = (flag: string): string[] | null => {
    const names = flags.get(flag);
    return names === undefined ? null : readColumnNames(names);
  };
  const [shown, ascending, descending] = [list("o"), list("s"), list("S")];
  const named = [...(shown ?? []), ...(ascending ?? []), ...(descending ?? [])];
  const unknown = named.filter((name) => !columns.some((column) => column.name === name));
  if (unknown.length > 0) {
    throw new UsageError(["address", "list"], `invalid column names: ${unknown.join(", ")}`);
  }
  const wanted = flags.get("f");
  const rows = (await askAddresses(bmat))
    .filter(({ name }) => wanted === undefined || name === wanted)
    .flatMap(describe);
  if (wanted !== undefined && rows.length === 0) {
    throw new Error(`IP address range ${debugText(wanted)} not found`);
  }
  if (wanted !== undefined && rows.length > 1) {
    throw new Error(`${rows.length} IP address ranges matched name ${debugText(wanted)}`);
  }
  const sorting = descending ?? ascending;
  const table = showTable(columns, rows, {
    shown,
    sort: sorting === null ? null : { columns: sorting, isDescending: descending !== null },
    isForPrograms: flags.has("H"),
  });
  await Bun.write(Bun.stdout, table);
}

/** Nothing for what is no range of usable IPv4 addresses in its network. */
function describe({ name, cidr, first, count, routed, gateway }: Address): Row[] {
  const network = parseNetwork(cidr);
  const start = parseAddress(first);
  if (network === null || start === null || count < 1) return [];
  const end = Math.min(start + count - 1, 0xffff_ffff);
  if (!holds(network, start) || !holds(network, end)) return [];
  if (end === network.first || end === network.last) return [];
  return [
    {
      name,
      cidr,
      first,
      last: showAddress(end),
      count,
      family: "inet",
      network: showAddress(network.first),
      mask: showAddress(network.mask),
      routed: routed ? "yes" : "no",
      gateway: gateway ?? "-",
    },
  ];
}

function holds({ first, last }: Network, address: number): boolean {
  return address >= first && address <= last;
}

/** As the real one's debugging output, which people may have scripts for. */
async function dumpMetadata(_: Options, bmat: Bmat): Promise<void> {
  const shown = (await askAddresses(bmat)).map(({ name, cidr, first, count, routed, gateway }) => {
    const some = gateway === null ? "None" : `Some(\n            ${debugText(gateway)},\n        )`;
    const fields = [
      `name: ${debugText(name)}`,
      `cidr: ${debugText(cidr)}`,
      `first: ${debugText(first)}`,
      `count: ${count}`,
      `routed: ${routed}`,
      `gateway: ${some}`,
    ];
    return `    FactoryAddresses {\n${fields.map((field) => `        ${field},\n`).join("")}    },\n`;
  });
  await Bun.write(Bun.stdout, `addrs = [${shown.length === 0 ? "" : "\n"}${shown.join("")}]\n`);
}
