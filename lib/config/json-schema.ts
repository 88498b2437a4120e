/** The configuration as a JSON Schema, for editors: what taplo and its plug-ins check and complete while somebody types. */
import { z } from "zod";
import { keys } from "./keys.ts";
import {
  factorySchema,
  generalSchema,
  notifySchema,
  targetSchema,
  testbedSchema,
  updateSchema,
  webSchema,
} from "./schema.ts";

const fileSchema = z.strictObject({
  general: generalSchema,
  factory: factorySchema,
  testbed: z.record(z.string(), testbedSchema).optional(),
  target: z.record(z.string(), targetSchema).optional(),
  update: updateSchema.optional(),
  web: webSchema.optional(),
  notify: notifySchema.optional(),
});

/** The text of the schema's file. `title` names this version. */
export function jsonSchema(title: string): string {
  const schema = z.toJSONSchema(fileSchema, {
    io: "input",
    target: "draft-7",
    unrepresentable: "any",
    override: ({ jsonSchema: section }) => {
      for (const [key, property] of Object.entries(section.properties ?? {})) {
        const meaning = keys[key]?.[0];
        if (meaning !== undefined && typeof property === "object") property.description = meaning;
      }
    },
  });
  return `${JSON.stringify({ title, ...schema }, null, 2)}\n`;
}
