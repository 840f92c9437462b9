// A peer that prints what it is told. From the project's folder:
//   node samples/zebus/directory.mjs
//   node samples/zebus/echo.mjs
//   node samples/zebus/echo-client.mjs "hello"
import { once } from 'node:events';
import {
  BusBuilder,
  DefaultConfigurationProvider,
  defineCommand,
  MessageHandler,
  PeerId,
  ZmqTransport,
} from 'meshring/zebus';

const EchoCommand = defineCommand({
  namespace: 'Echo',
  name: 'EchoCommand',
  fields: { msg: { tag: 1, type: 'string', required: true } },
});

async function echo(cmd) {
  console.log(`ECHO ${cmd.msg}`);
}

const zmqConfiguration = new DefaultConfigurationProvider().withFile('samples/zebus/zmq.toml').configure();
const zmq = new ZmqTransport(zmqConfiguration);

const configuration = new DefaultConfigurationProvider().withFile('samples/zebus/bus.toml');

const bus = new BusBuilder()
  .configureWith(new PeerId('Echo.0'), 'example', configuration)
  .handles(MessageHandler.withState(undefined).handles(EchoCommand, echo))
  .withTransport(zmq)
  .create();

try {
  await bus.start();
  console.log('Press a key to exit');
  await once(process.stdin, 'data');
  await bus.stop();
} catch (error) {
  console.error(`failed to start bus: ${error.message}`);
}
process.stdin.destroy();
