/** A text that must not be shown: printing, logging or serialising it gives `***`. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The text itself, for the one place that must send it. */
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

/** Replaces secrets as they are, and as URLs, JSON and HTTP's basic authentication write them. */
export function redactor(secrets: Secret[]): (text: string) => string {
  const forms = secrets
    .map((secret) => secret.reveal())
    .filter((text) => text !== "")
    .flatMap((text) => [
      text,
      encodeURIComponent(text),
      JSON.stringify(text).slice(1, -1),
      ...["base64", "base64url"].map((form) => Buffer.from(text).toString(form as BufferEncoding)),
    ]);
  // The longest first: a form may begin with another one.
  const wanted = [...new Set(forms)].toSorted((one, other) => other.length - one.length);
  return (text) => wanted.reduce((rest, form) => rest.replaceAll(form, "***"), text);
}
