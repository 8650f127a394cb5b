// SPDX-License-Identifier: Apache-2.0
// The account that signs: of an injected wallet, or of the test wallet on development chains. Reading needs none.
import type { PolkadotSigner } from 'polkadot-api/signer';
import { createSignal } from 'solid-js';

export interface Account {
  name: string;
  address: string;
  signer: PolkadotSigner;
  /** Of the test wallet: everybody knows its key. */
  isTest: boolean;
}

export interface Found {
  accounts: Account[];
  /** Accounts that the wallet ties to another chain. */
  elsewhere: number;
}

/** How long a wallet may take to answer, its own question to the person included. */
const WALLET_TIMEOUT_MS = 120_000;

const [account, setAccount] = createSignal<Account>();
export { account, setAccount };

export async function wallets(): Promise<string[]> {
  const { getInjectedExtensions } = await import('polkadot-api/pjs-signer');
  return getInjectedExtensions();
}

export async function connectWallet(name: string, genesis: string): Promise<Found> {
  const { connectInjectedExtension } = await import('polkadot-api/pjs-signer');
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${WALLET_TIMEOUT_MS / 1000} s`)), WALLET_TIMEOUT_MS);
  });
  const wallet = await Promise.race([connectInjectedExtension(name, 'TF Grid Explorer'), late]).finally(() => clearTimeout(timer));
  const all = wallet.getAccounts();
  const usable = all.filter(({ genesisHash }) => !genesisHash || genesisHash === genesis);
  return {
    accounts: usable.map(({ name, address, polkadotSigner }) => ({ name: name ?? '', address, signer: polkadotSigner, isTest: false })),
    elsewhere: all.length - usable.length,
  };
}
