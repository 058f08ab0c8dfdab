export async function story(): Promise<number> { return await Promise.resolve(0); }
