// Files that are imported as text and built into the program.

declare module "*.ndjson" {
  const text: string;
  export default text;
}
