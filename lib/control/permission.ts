/** Who may steer a factory: all who can open its socket may look. Pure. */

export interface Steerers {
  /** The factory's own user. */
  uid: number;
  /** The group of `general.operators`; null: none. */
  gid: number | null;
}

/** `asker`: by the kernel's word. */
export function maySteer(asker: { uid: number; gids: readonly number[] }, { uid, gid }: Steerers): boolean {
  return asker.uid === 0 || asker.uid === uid || (gid !== null && asker.gids.includes(gid));
}
