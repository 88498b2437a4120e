/** IPv4 addresses and networks as numbers. Pure. */

export interface Network {
  first: number;
  last: number;
  mask: number;
}

/** Four decimal numbers without leading zeros; null for anything else. */
export function parseAddress(text: string): number | null {
  const numbers = text.split(".");
  if (numbers.length !== 4) return null;
  let address = 0;
  for (const number of numbers) {
    if (!/^(?:0|[1-9]\d{0,2})$/.test(number) || Number(number) > 255) return null;
    address = address * 256 + Number(number);
  }
  return address;
}

/** `192.0.2.7/24`: the network around the address. */
export function parseNetwork(text: string): Network | null {
  const [before = "", length = "", ...more] = text.split("/");
  const address = parseAddress(before);
  if (address === null || more.length > 0) return null;
  if (!/^(?:0|[1-9]\d?)$/.test(length) || Number(length) > 32) return null;
  const size = 2 ** (32 - Number(length));
  const first = address - (address % size);
  return { first, last: first + size - 1, mask: 2 ** 32 - size };
}

export function showAddress(address: number): string {
  return [2 ** 24, 2 ** 16, 2 ** 8, 1].map((unit) => Math.floor(address / unit) % 256).join(".");
}
