import type { MessageType } from './message-type.js';

/** Error codes of the protocol (71 §11). */
export const ErrorCode = {
  success: 0,
  /** A handler failed unexpectedly. */
  handlerFailed: -10,
  /** The content could not be decoded, or something internal failed. */
  internal: -20,
  /** Queue full, or the peer is stopping. */
  busy: -30,
  /** Registration: a responding peer of that id runs elsewhere. */
  peerAlreadyExists: 1001,
} as const;

/** Answer to a command. Any error code but 0 is a failure; check `isSuccess`. */
export class CommandResult<R = unknown> {
  readonly errorCode: number;
  readonly responseMessage?: string;
  /** The reply as it came, if there was one. */
  readonly rawResponse?: { readonly type: string; readonly content: Uint8Array };
  // biome-ignore lint/suspicious/noExplicitAny: only the decoded form matters here
  private readonly replyType: MessageType<R, any> | undefined;

  constructor(
    errorCode: number,
    responseMessage?: string,
    rawResponse?: { type: string; content: Uint8Array },
    // biome-ignore lint/suspicious/noExplicitAny: only the decoded form matters here
    replyType?: MessageType<R, any>,
  ) {
    this.errorCode = errorCode;
    if (responseMessage !== undefined && responseMessage !== '') this.responseMessage = responseMessage;
    if (rawResponse !== undefined) this.rawResponse = rawResponse;
    this.replyType = replyType;
    Object.defineProperty(this, 'replyType', { enumerable: false });
  }

  get isSuccess(): boolean {
    return this.errorCode === 0;
  }

  /** The reply of the command's declared `reply` type; `undefined` when there is none. */
  get reply(): R | undefined {
    return this.replyType === undefined ? undefined : this.response(this.replyType);
  }

  /** The reply when it is of this type. Throws `ZebusError('codec')` when its bytes are not. */
  response<T, I>(type: MessageType<T, I>): T | undefined {
    if (this.rawResponse === undefined || this.rawResponse.type !== type.fullName) return undefined;
    return type.decode(this.rawResponse.content);
  }
}
