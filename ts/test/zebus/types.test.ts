import { describe, expect, expectTypeOf, it } from 'vitest';
import {
  type Bus,
  type CommandResult,
  defineCommand,
  defineEvent,
  defineMessage,
  MessageHandler,
} from '../../src/zebus.js';

const Size = defineMessage({
  namespace: 'Shop',
  name: 'Size',
  fields: { width: { tag: 1, type: 'int32', required: true }, unit: { tag: 2, type: 'string' } },
});
const Placed = defineMessage({
  namespace: 'Shop',
  name: 'OrderPlaced',
  fields: { id: { tag: 1, type: 'guid', required: true }, at: { tag: 2, type: 'datetime', required: true } },
});
const PlaceOrder = defineCommand({
  namespace: 'Shop',
  name: 'PlaceOrder',
  fields: {
    article: { tag: 1, type: 'string', required: true },
    amount: { tag: 2, type: 'int64' },
    sizes: { tag: 3, type: Size, repeated: true },
    photo: { tag: 4, type: 'bytes' },
    express: { tag: 5, type: 'bool' },
  },
  reply: Placed,
});
const Cancelled = defineEvent({
  namespace: 'Shop',
  name: 'Cancelled',
  fields: { shop: { tag: 1, type: 'string', required: true }, order: { tag: 2, type: 'int32', required: true } },
  routing: ['shop'],
});

describe('types follow from the definitions', () => {
  it('of messages and of what creates them', () => {
    const order = PlaceOrder.create({ article: 'chair', sizes: [{ width: 3 }] });
    expectTypeOf(order.article).toEqualTypeOf<string>();
    expectTypeOf(order.amount).toEqualTypeOf<bigint | undefined>();
    expectTypeOf(order.sizes).toEqualTypeOf<{ width: number; unit?: string | undefined }[]>();
    expectTypeOf(order.photo).toEqualTypeOf<Uint8Array | undefined>();
    expectTypeOf(order.express).toEqualTypeOf<boolean | undefined>();
    expectTypeOf(Placed.decode).returns.toExtend<{ id: string; at: Date }>();
    expect(order).toEqual({ article: 'chair', sizes: [{ width: 3 }] });

    // @ts-expect-error article is required
    PlaceOrder.create({});
    // @ts-expect-error a number is not a string
    expect(() => PlaceOrder.encode(PlaceOrder.create({ article: 5 }))).toThrow();
    // @ts-expect-error no such field
    PlaceOrder.create({ article: 'chair', colour: 'red' });
    // @ts-expect-error routing names a field
    expect(() => defineEvent({ namespace: '', name: '', fields: {}, routing: ['nothing'] })).toThrow();
  });

  it('of replies, handlers, and what may be sent or published', () => {
    const uses = async (bus: Bus): Promise<void> => {
      const result = await bus.send(PlaceOrder.create({ article: 'chair' }));
      expectTypeOf(result).toExtend<CommandResult<{ id: string; at: Date }>>();
      expectTypeOf(result.reply?.at).toEqualTypeOf<Date | undefined>();
      expectTypeOf(result.response(Size)?.width).toEqualTypeOf<number | undefined>();
      const direct = await bus.sendTo(PlaceOrder.create({ article: 'chair' }), 'Shop.0');
      expectTypeOf(direct.reply?.id).toEqualTypeOf<string | undefined>();
      await bus.publish(Cancelled.create({ shop: 'a', order: 1 }));
      // @ts-expect-error an event is not a command
      await bus.send(Cancelled.create({ shop: 'a', order: 1 }));
      // @ts-expect-error a command is not an event
      await bus.publish(PlaceOrder.create({ article: 'chair' }));
      // @ts-expect-error a plain object has no type
      await bus.send({ article: 'chair' });
      await bus.subscribe(Cancelled, { shop: 'a' }, (event) => {
        expectTypeOf(event).toEqualTypeOf<{ shop: string; order: number }>();
      });
    };
    expect(uses).toBeTypeOf('function');

    MessageHandler.withState({ stock: 3 })
      .handles(PlaceOrder, (order, context) => {
        expectTypeOf(order.article).toEqualTypeOf<string>();
        expectTypeOf(context.state.stock).toEqualTypeOf<number>();
        expectTypeOf(context.bus).toEqualTypeOf<Bus>();
        return Placed.create({ id: '00000000-0000-0000-0000-000000000001', at: new Date() });
      })
      .handles(
        Cancelled,
        (events) => {
          expectTypeOf(events).toEqualTypeOf<{ shop: string; order: number }[]>();
        },
        { batch: 10 },
      )
      .handles(Cancelled, () => {}, { bind: { shop: 'a' } });
    // @ts-expect-error the reply of PlaceOrder is OrderPlaced
    MessageHandler.stateless().handles(PlaceOrder, () => Size.create({ width: 1 }));
  });

  it('given by the user with a codec', () => {
    const Json = defineCommand<{ n: number }>({
      namespace: 'Test',
      name: 'Json',
      codec: { encode: (m) => Buffer.from(JSON.stringify(m)), decode: (b) => JSON.parse(b.toString()) },
    });
    expectTypeOf(Json.create({ n: 1 }).n).toEqualTypeOf<number>();
    const text = Json.create({ n: 1 });
    expect(Json.is(text)).toBe(true);
    expect(Json.is({ n: 1 })).toBe(false);
    // @ts-expect-error n is a number
    Json.create({ n: 'one' });
  });
});
