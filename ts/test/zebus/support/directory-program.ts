/** The sub-command alone, as the command `meshring` runs it. */
import { zebusDirectoryCommand } from '../../../src/zebus/command.js';

zebusDirectoryCommand()
  .parseAsync()
  .catch((error: Error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  });
