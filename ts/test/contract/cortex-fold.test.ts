// Folds of one's own over any log.
import { expect, it } from 'vitest';
import { CortexError, openFold, Redex } from '../../src/cortex.js';

const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const decode = (bytes: Uint8Array): { add: number } => JSON.parse(new TextDecoder().decode(bytes));
const sum = {
  initial: () => ({ sum: 0, events: 0 }),
  apply: (state: { sum: number; events: number }, { payload }: { payload: Uint8Array }) => ({
    sum: state.sum + decode(payload).add,
    events: state.events + 1,
  }),
};

it('a fold follows its log, whoever appends', async () => {
  const redex = new Redex();
  const file = redex.openFile('accounts/one');
  for (let i = 0; i < 3000; i++) file.append(encode({ add: i }));
  const fold = await openFold(redex, 'accounts/one', sum);
  expect(fold.state).toEqual({ sum: (2999 * 3000) / 2, events: 3000 });
  const seq = fold.append(encode({ add: 1 }));
  expect(fold.state.events).toBe(3001);
  file.append(encode({ add: 1 }));
  await fold.waitForSeq(seq + 1n);
  expect(fold.state.events).toBe(3002);
  const { state, lastSeq } = fold.snapshot();
  const later = await openFold(redex, 'accounts/one', { ...sum, initial: () => state, lastSeq: lastSeq ?? null });
  expect(later.state).toEqual(fold.state);
  const elsewhere = await openFold(new Redex(), 'x', { ...sum, initial: () => state, lastSeq: lastSeq ?? null });
  expect(elsewhere.append(encode({ add: 1 }))).toBe(3002n);
  expect(elsewhere.state.events).toBe(3003);
});

it('a watch gives the state and what it becomes, once a tick, and ends with the fold', async () => {
  const fold = await openFold(new Redex(), 'counter', sum);
  const watch = fold.watch();
  expect((await watch.next()).value.sum).toBe(0);
  const next = watch.next();
  for (let i = 0; i < 100; i++) fold.append(encode({ add: 1 }));
  expect((await next).value.sum).toBe(100);
  const both = [watch.next(), watch.next()];
  fold.append(encode({ add: 1 }));
  expect((await both[0])?.value.sum).toBe(101);
  fold.append(encode({ add: 1 }));
  fold.close();
  expect((await both[1])?.value.sum).toBe(102);
  expect((await watch.next()).done).toBe(true);
  expect(fold.state.sum).toBe(102);
  expect(() => fold.append(encode({ add: 1 }))).toThrow('cortex: append failed: adapter closed');

  const control = new AbortController();
  const other = (await openFold(new Redex(), 'counter', sum)).watch({ signal: control.signal });
  await other.next();
  const waiting = other.next();
  control.abort();
  expect((await waiting).done).toBe(true);
});

it('what apply throws stops the fold and is the cause of failed waits', async () => {
  const redex = new Redex();
  const fold = await openFold(redex, 'fragile', sum);
  fold.append(encode({ add: 1 }));
  const waiting = fold.waitForSeq(5n);
  fold.append(new TextEncoder().encode('no json'));
  fold.append(encode({ add: 1 }));
  const error = await waiting.catch((error: unknown) => error);
  expect(error).toBeInstanceOf(CortexError);
  expect(error).toMatchObject({
    kind: 'fold-stopped',
    message: 'cortex: wait_for_seq: fold task stopped; folded_through=Some(0)',
  });
  expect((error as CortexError).cause).toBeInstanceOf(SyntaxError);
  expect(fold.error).toBeInstanceOf(SyntaxError);
  expect(fold.isRunning()).toBe(false);
  expect(fold.state.events).toBe(1);
  await expect(openFold(redex, 'fragile', sum)).rejects.toMatchObject({ name: 'CortexError', kind: 'open-failed' });
  await expect(openFold(redex, 'Bad Name', sum)).rejects.toThrow('redex: invalid channel name');
});

it('what was folded before apply threw is reached for those who wait for it', async () => {
  const redex = new Redex();
  const fold = await openFold(redex, 'partly', sum);
  const [first, second] = [fold.waitForSeq(0n), fold.waitForSeq(1n)];
  redex.openFile('partly').appendBatch([encode({ add: 1 }), new TextEncoder().encode('no json')]);
  await first;
  await expect(second).rejects.toMatchObject({ kind: 'fold-stopped' });
});
