import { Command } from 'commander';
import { DirectoryServer } from './directory-server.js';

interface Options {
  endpoint: string;
  environment: string;
  peerId: string;
  advertisedHost?: string;
  store?: string;
  pingInterval: string;
  replicateTo?: string[];
  json?: boolean;
}

/** `meshring zebus-directory`: runs a directory until SIGINT or SIGTERM and prints what changes. */
export function zebusDirectoryCommand(): Command {
  return new Command('zebus-directory')
    .description('run a directory for Zebus peers')
    .option('--endpoint <endpoint>', 'where it listens', 'tcp://*:7465')
    .requiredOption('--environment <name>', 'environment; peers of others are ignored')
    .option('--peer-id <id>', 'id of the directory', 'Abc.Zebus.Directory.0')
    .option('--advertised-host <host>', "host that peers connect to (default: this machine's name)")
    .option('--store <file>', 'JSON file that keeps persistent peers (default: memory only)')
    .option('--ping-interval <duration>', 'time between pings of each peer', '60s')
    .option('--replicate-to <endpoint...>', 'other directories that are told everything')
    .option('--json', 'one JSON document per line')
    .action(run);
}

async function run(options: Options): Promise<void> {
  const { json, ...configuration } = options;
  const directory = new DirectoryServer(configuration);
  const say = (event: Record<string, string>, text: string): void => {
    process.stdout.write(`${json ? JSON.stringify(event) : text}\n`);
  };
  directory.bus.on('peer', ({ change, peer }) => {
    const event = { event: 'peer', change, peer: peer.id.value, endpoint: peer.endpoint };
    say(event, `${peer.id} ${change} [${peer.endpoint}]`);
  });
  directory.bus.on('error', (error) => {
    if (json) say({ event: 'error', message: error.message }, '');
    else process.stderr.write(`${error.message}\n`);
  });
  await directory.start();
  say({ event: 'listening', endpoint: directory.endpoint }, `directory on ${directory.endpoint}`);
  await new Promise<void>((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  });
  await directory.stop();
}
