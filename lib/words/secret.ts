/** A secret text. Printing, logging or serialising it gives `***`. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The text itself, only for the code that must send or store it. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return "***";
  }

  toJSON(): string {
    return "***";
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return "***";
  }
}

/** Replaces secrets, also in the forms that URLs, JSON and HTTP's basic authentication give them. */
export function redactor(secrets: readonly Secret[]): (text: string) => string {
  const forms = secrets
    .map((secret) => secret.reveal())
    .filter((text) => text !== "")
    .flatMap((text) => [
      text,
      encodeURIComponent(text),
      JSON.stringify(text).slice(1, -1),
      ...["base64", "base64url"].map((form) => Buffer.from(text).toString(form as BufferEncoding)),
    ]);
  // Longest first, because one form may begin with another.
  const wanted = [...new Set(forms)].toSorted((one, other) => other.length - one.length);
  return (text) => wanted.reduce((rest, form) => rest.replaceAll(form, "***"), text);
}

/** The same with each text in it redacted: names of fields and numbers stay, however short a secret is. */
export function redactTexts<T>(value: T, secrets: readonly Secret[]): T {
  const redact = redactor(secrets);
  const whole = JSON.stringify(value);
  if (redact(whole) === whole) return value;
  const visit = (each: unknown): unknown => {
    if (typeof each === "string") return redact(each);
    if (Array.isArray(each)) return each.map(visit);
    if (typeof each !== "object" || each === null) return each;
    return Object.fromEntries(Object.entries(each).map(([name, inner]) => [name, visit(inner)]));
  };
  return visit(value) as T;
}
