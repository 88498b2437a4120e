/** A file imported `with { type: "text" }` is its text. */
declare module "*.yml" {
  const text: string;
  export default text;
}
