import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

const folder = resolve(process.env.SAT_FIXTURES ?? 'fixtures');

/** A file that Python wrote for these tests (tests/web/fixtures.py). */
export function fixture(path: string): string {
  const full = resolve(folder, path);
  if (!existsSync(full)) throw new Error(`${full} is missing: python ../../tests/web/fixtures.py fixtures`);
  return full;
}
