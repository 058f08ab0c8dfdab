/** What properties objects have. Numbers are whole ones. */
export type Shape = Readonly<Record<string, "number" | "string" | "numbers">>;

/** Whether a value is an array of objects which have these properties. */
export function isShaped(value: unknown, shape: Shape): boolean {
  const isOf = (property: unknown, kind: Shape[string]): boolean =>
    kind === "string" ? typeof property === "string" : kind === "number" ? Number.isSafeInteger(property) : Array.isArray(property) && property.every(Number.isSafeInteger);
  return (
    Array.isArray(value) &&
    value.every((item: unknown) => {
      if (typeof item !== "object" || item === null) return false;
      return Object.entries(shape).every(([name, kind]) => isOf((item as Record<string, unknown>)[name], kind));
    })
  );
}
