#!/usr/bin/env node
/** The command `meshring`: one sub-command per file. */
import { Command } from 'commander';
import { zebusDirectoryCommand } from './zebus/command.js';

const program = new Command('meshring').description('tools of the meshring package');
program.addCommand(zebusDirectoryCommand());

program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
