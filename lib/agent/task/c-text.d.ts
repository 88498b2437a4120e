/** A C source imported `with { type: "text" }` is its text. */
declare module "*.c" {
  const text: string;
  export default text;
}
