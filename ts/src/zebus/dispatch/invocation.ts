import { DomainError } from '../../errors.js';
import type { Bus } from '../bus-api.js';
import { CommandResult, ErrorCode } from '../command-result.js';
import { guidText } from '../guid.js';
import { type AnyMessageType, type Message, requireType } from '../message-type.js';
import type { OriginatorInfo, TransportMessage } from '../transport-message.js';
import type { HandlerContext, Registration } from './message-handler.js';

/** What all handlers of one message have come to. */
export interface Outcome {
  readonly errorCode: number;
  readonly responseMessage?: string;
  readonly reply?: { readonly type: string; readonly content: Uint8Array };
  /** Handlers that failed unexpectedly, and why. */
  readonly failures: readonly { readonly handler: string; readonly error: unknown }[];
}

const SUCCESS: Outcome = { errorCode: 0, failures: [] };

/** What handlers of a bus share. */
export interface HandlerScope {
  readonly bus: Bus;
  readonly signal: AbortSignal;
}

interface Answer {
  errorCode: number;
  responseMessage?: string | undefined;
  reply?: { type: string; content: Uint8Array } | undefined;
  failure?: { readonly handler: string; readonly error: unknown };
}

/** Text of anything thrown. */
export function errorText(error: unknown): string {
  if (error instanceof Error) return error.message === '' ? error.name : error.message;
  return String(error);
}

class Context implements HandlerContext<unknown> {
  readonly state: unknown;
  private readonly invocation: Invocation;
  answer: Answer | undefined;

  constructor(state: unknown, invocation: Invocation) {
    this.state = state;
    this.invocation = invocation;
  }

  get bus(): Bus {
    return this.invocation.scope.bus;
  }
  get signal(): AbortSignal {
    return this.invocation.scope.signal;
  }
  get originator(): OriginatorInfo {
    return this.invocation.originator;
  }
  get messageId(): string {
    const { id } = this.invocation;
    return id === undefined ? '' : guidText(id);
  }
  get messageType(): string {
    return this.invocation.type.fullName;
  }
  get isLocal(): boolean {
    return this.invocation.isLocal;
  }
  reply(reply: Message): void {
    this.answer = replyAnswer(reply);
  }
  replyError(code: number, message?: string): void {
    this.answer = { errorCode: code === 0 ? ErrorCode.handlerFailed : code, responseMessage: message };
  }
}

function replyAnswer(reply: unknown): Answer {
  const type = requireType(reply);
  return { errorCode: 0, reply: { type: type.fullName, content: type.encode(reply) } };
}

/** One message on its way through its handlers. `done` is called once, when all of them have settled. */
export class Invocation {
  readonly type: AnyMessageType;
  readonly message: unknown;
  readonly originator: OriginatorInfo;
  /** What arrived; `undefined` for a message of this bus itself. */
  readonly source: TransportMessage | undefined;
  readonly scope: HandlerScope;
  private readonly done: (outcome: Outcome, invocation: Invocation) => void;
  private answers: (Answer | undefined)[] | undefined;
  private waiting = 0;

  constructor(
    scope: HandlerScope,
    type: AnyMessageType,
    message: unknown,
    originator: OriginatorInfo,
    source: TransportMessage | undefined,
    done: (outcome: Outcome, invocation: Invocation) => void,
  ) {
    this.scope = scope;
    this.type = type;
    this.message = message;
    this.originator = originator;
    this.source = source;
    this.done = done;
  }

  /** Wire id; `undefined` for a message of this bus itself. */
  get id(): Uint8Array | undefined {
    return this.source?.id;
  }

  get isLocal(): boolean {
    return this.source === undefined;
  }

  /** Number of handlers that will settle. */
  expect(handlers: number): void {
    this.waiting += handlers;
    if (this.waiting === 0) this.done(SUCCESS, this);
  }

  /** Runs one handler; a promise when it has not settled yet. Never throws or rejects. */
  run(handler: Registration, index: number, batch?: readonly Invocation[]): Promise<void> | undefined {
    const context = new Context(handler.state, this);
    const input = batch === undefined ? this.message : batch.map((each) => each.message);
    const all = batch ?? [this];
    try {
      const result = handler.fn(input as never, context as unknown as HandlerContext<never>);
      if (typeof (result as PromiseLike<unknown> | undefined)?.then === 'function') {
        return (result as Promise<unknown>).then(
          (value) => settleAll(all, index, answerOf(value, context, handler.name)),
          (error: unknown) => settleAll(all, index, failureOf(error, handler.name)),
        );
      }
      settleAll(all, index, answerOf(result, context, handler.name));
    } catch (error) {
      settleAll(all, index, failureOf(error, handler.name));
    }
    return undefined;
  }

  /** Settles one handler without running it. */
  refuse(index: number, errorCode: number, responseMessage: string): void {
    this.settle(index, { errorCode, responseMessage });
  }

  /** @internal */
  settle(index: number, answer: Answer | undefined): void {
    if (answer !== undefined) {
      this.answers ??= [];
      this.answers[index] = answer;
    }
    if (--this.waiting === 0) this.done(this.answers === undefined ? SUCCESS : merge(this.answers), this);
  }
}

function settleAll(all: readonly Invocation[], index: number, answer: Answer | undefined): void {
  for (const each of all) each.settle(index, answer);
}

function answerOf(value: unknown, context: Context, handler: string): Answer | undefined {
  if (value === undefined || value === null) return context.answer;
  if (value instanceof CommandResult) {
    const raw = value.rawResponse;
    return { errorCode: value.errorCode, responseMessage: value.responseMessage, reply: raw };
  }
  try {
    return replyAnswer(value);
  } catch (error) {
    return failureOf(error, handler);
  }
}

function failureOf(error: unknown, handler: string): Answer {
  if (error instanceof DomainError) {
    return { errorCode: error.code === 0 ? ErrorCode.handlerFailed : error.code, responseMessage: error.message };
  }
  return { errorCode: ErrorCode.handlerFailed, responseMessage: errorText(error), failure: { handler, error } };
}

/** The first error in registration order wins, else the last reply. */
function merge(answers: readonly (Answer | undefined)[]): Outcome {
  let error: Answer | undefined;
  let reply: Answer | undefined;
  const failures: { readonly handler: string; readonly error: unknown }[] = [];
  // A handler that answered nothing left a hole.
  answers.forEach((answer) => {
    if (answer === undefined) return;
    if (answer.errorCode !== 0) error ??= answer;
    else if (answer.reply !== undefined) reply = answer;
    if (answer.failure !== undefined) failures.push(answer.failure);
  });
  const chosen = error ?? reply;
  return {
    errorCode: chosen?.errorCode ?? 0,
    failures,
    ...(chosen?.responseMessage === undefined ? {} : { responseMessage: chosen.responseMessage }),
    ...(chosen?.reply === undefined ? {} : { reply: chosen.reply }),
  };
}
