// Sends its arguments to the echo peer, one command each, and prints the answers.
import { BusBuilder, DefaultConfigurationProvider, defineCommand, PeerId, ZmqTransport } from 'meshring/zebus';

const EchoCommand = defineCommand({
  namespace: 'Echo',
  name: 'EchoCommand',
  fields: { msg: { tag: 1, type: 'string', required: true } },
});

const bus = new BusBuilder()
  .configureWith(
    PeerId.unique('Echo.Client'),
    'example',
    new DefaultConfigurationProvider().withFile('samples/zebus/bus.toml'),
  )
  .withTransport(new ZmqTransport(new DefaultConfigurationProvider().withFile('samples/zebus/zmq.toml').configure()))
  .create();

await bus.start();
try {
  for (const msg of process.argv.slice(2)) {
    const result = await bus.send(EchoCommand.create({ msg }));
    console.log(result.isSuccess ? `${msg}: done` : `${msg}: error ${result.errorCode} ${result.responseMessage}`);
  }
} finally {
  await bus.stop();
}
