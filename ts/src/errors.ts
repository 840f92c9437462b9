/**
 * Every error class of the package in one module, so that all doors export the same class objects
 * (specification: errors.md §1).
 */

/** Options of the package's errors: the lower error is kept as `cause`. */
export interface MeshringErrorOptions {
  /** The lower-level error, if any. */
  cause?: unknown;
  /** Word of Node-API for wrong argument types (`StringExpected`, `InvalidArg`, …); `GenericFailure` otherwise. */
  code?: string;
}

/**
 * What the published package throws as a plain `Error`: `name` stays `'Error'`, the message starts with a stable
 * prefix, and `kind` is a stable word to branch on.
 */
export class MeshringError extends Error {
  /** Stable word for the condition, for example `closed` or `invalid-cursor`. */
  readonly kind: string;
  /** `GenericFailure`, or the Node-API word for a wrong argument type. */
  readonly code: string;

  constructor(kind: string, message: string, options: MeshringErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    Object.setPrototypeOf(this, new.target.prototype);
    this.kind = kind;
    this.code = options.code ?? 'GenericFailure';
  }
}

/** Text that names the type of a value in messages about wrong arguments. */
export function describeType(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (ArrayBuffer.isView(value)) return value.constructor.name;
  return typeof value === 'object' ? (value.constructor?.name ?? 'an object') : typeof value;
}

/** A wrong JavaScript type: message names method, argument, what came and what is needed (errors.md §1.5). */
export function wrongType(
  method: string,
  argument: string,
  value: unknown,
  needed: string,
  code: 'InvalidArg' | 'StringExpected' | 'NumberExpected' | 'BigintExpected' | 'ArrayExpected',
): MeshringError {
  return new MeshringError('invalid-argument', `${method}: ${argument} must be ${needed}, got ${describeType(value)}`, {
    code,
  });
}
