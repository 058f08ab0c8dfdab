/** Who is told when a thread reads or writes what the scenario's `setup` returned. */
export interface SharedStateListener {
  /** A property of an object, by numbers of their own, and a value that is what it holds as far as can be told. */
  read(property: number, value: unknown): void;
  /** `before` and `after` the write. */
  wrote(property: number, before: unknown, after: unknown): void;
  /** Something was reached whose contents cannot be followed: a Map, say. Whatever a thread does with it may matter. */
  reached(property: number): void;
}

/**
 * What threads of a scenario share besides memory. It is handed to them by way of proxies, so that
 * the order in which they read and write it is known to matter, as it is for memory.
 */
export class SharedState {
  listener: SharedStateListener | null = null;
  private readonly proxies = new WeakMap<object, object>();
  private readonly numbers = new WeakMap<object, Map<PropertyKey, number>>();
  private next = 0;

  /** What `setup` has returned, for a thread: a proxy, unless it is no object or has a class of its own. */
  wrap(value: unknown): unknown {
    return isData(value) ? this.proxyOf(value) : value;
  }

  private proxyOf(target: object): object {
    const known = this.proxies.get(target);
    if (known !== undefined) return known;
    const proxy = new Proxy(target, {
      get: (object, key): unknown => {
        const value: unknown = Reflect.get(object, key);
        if (typeof value === "function") return value;
        if (isPlain(value)) {
          this.listener?.read(this.numberOf(object, key), null);
          return this.proxyOf(value);
        }
        if (typeof value === "object" && value !== null) this.listener?.reached(this.numberOf(object, key));
        else this.listener?.read(this.numberOf(object, key), value);
        return value;
      },
      set: (object, key, value: unknown): boolean => {
        const before: unknown = Reflect.get(object, key);
        const done = Reflect.set(object, key, value);
        this.listener?.wrote(this.numberOf(object, key), before, value);
        return done;
      },
      deleteProperty: (object, key): boolean => {
        const before: unknown = Reflect.get(object, key);
        const done = Reflect.deleteProperty(object, key);
        this.listener?.wrote(this.numberOf(object, key), before, undefined);
        return done;
      },
    });
    this.proxies.set(target, proxy);
    return proxy;
  }

  private numberOf(object: object, key: PropertyKey): number {
    let numbers = this.numbers.get(object);
    if (numbers === undefined) this.numbers.set(object, (numbers = new Map()));
    let number = numbers.get(key);
    if (number === undefined) numbers.set(key, (number = this.next++));
    return number;
  }
}

/** Objects and arrays that have no class of their own. */
function isData(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === Array.prototype;
}

/**
 * Of those, the ones that the kernel cannot know. What has functions it may know, and not its proxy: a
 * notifier that `setup` has subscribed, say.
 */
function isPlain(value: unknown): value is object {
  return isData(value) && (Array.isArray(value) || Object.values(value).every((property) => typeof property !== "function"));
}
