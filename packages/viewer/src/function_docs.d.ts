declare module "virtual:function-docs" {
  const docs: Readonly<Record<string, readonly [sentence: string, file: string]>>;
  export default docs;
}
