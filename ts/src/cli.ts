#!/usr/bin/env node
/** The command `meshring`: one sub-command per file. Guide and exit codes: docs/cli.md. */
import { Command } from 'commander';
import { benchCommand } from './cli/bench.js';
import { doctorCommand } from './cli/doctor.js';
import { EXIT, endWithReader } from './cli/exit.js';
import { ingestCommand } from './cli/ingest.js';
import { logCommand } from './cli/log.js';
import { statsCommand } from './cli/stats.js';
import { tailCommand } from './cli/tail.js';
import { messageOf } from './errors.js';
import { zebusDirectoryCommand } from './zebus/command.js';

const program = new Command('meshring').description('tools of the meshring package');
for (const command of [ingestCommand(), tailCommand(), statsCommand(), doctorCommand(), benchCommand()]) {
  program.addCommand(command);
}
program.addCommand(logCommand());
program.addCommand(zebusDirectoryCommand());

endWithReader();
program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = EXIT.failed;
});
