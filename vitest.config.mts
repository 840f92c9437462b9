import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';

const here = import.meta.dirname;
const source = (name: string) => join(here, 'ts', 'src', name);
/** `meshring/<module>` means the sources here; the packed package is tested by ts/test/package. */
const alias = [
  { find: /^meshring$/, replacement: source('index.ts') },
  { find: /^meshring\/(.*)$/, replacement: `${source('')}/$1.ts` },
];
const chromium = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** In the browser the platform module is the browser's, as in the browser build. */
const browserPlatform = {
  name: 'browser-platform',
  enforce: 'pre' as const,
  resolveId: (id: string) => (/platform\/node(\.js)?$/.test(id) ? source('platform/browser.ts') : undefined),
};

const node = {
  environment: 'node' as const,
  testTimeout: 30_000,
  hookTimeout: 60_000,
  pool: 'forks' as const,
  // The long rounds simulate a mesh of a thousand nodes in one process.
  ...(process.env.MESHRING_SOAK ? { execArgv: ['--max-old-space-size=12288'] } : {}),
};

export default defineConfig({
  test: {
    projects: [
      {
        resolve: { alias },
        test: {
          ...node,
          name: 'node',
          include: ['ts/test/**/*.test.ts'],
          exclude: ['ts/test/browser/**'],
          globalSetup: ['ts/test/setup/vectors.ts'],
          setupFiles: ['ts/test/setup/properties.ts'],
        },
      },
      {
        resolve: { alias },
        test: {
          ...node,
          name: 'wasm',
          env: { MESHRING_BACKEND: 'wasm' },
          include: ['ts/test/contract/**/*.test.ts'],
          globalSetup: ['ts/test/setup/vectors.ts'],
          setupFiles: ['ts/test/setup/properties.ts'],
        },
      },
      ...(existsSync(chromium)
        ? [
            {
              plugins: [browserPlatform],
              resolve: { alias },
              test: {
                name: 'chromium',
                include: ['ts/test/contract/**/*.test.ts', 'ts/test/browser/**/*.test.ts'],
                globalSetup: ['ts/test/setup/vectors.ts'],
          setupFiles: ['ts/test/setup/properties.ts'],
                testTimeout: 30_000,
                browser: {
                  enabled: true,
                  headless: true,
                  screenshotFailures: false,
                  provider: playwright({
                    launchOptions: {
                      executablePath: chromium,
                      args: [
                        '--no-sandbox',
                        '--disable-gpu',
                        '--disable-quic',
                        '--no-first-run',
                        '--disable-background-networking',
                        '--disable-component-update',
                        '--disable-sync',
                      ],
                    },
                  }),
                  instances: [{ browser: 'chromium' as const }],
                },
              },
            },
          ]
        : []),
    ],
  },
});
