/** The chunk that each page comes in; the first page is in the first load. */
import type { Component } from 'svelte';
import Operations from '../pages/Operations.svelte';
import type { PageName } from './places';

/** A page is given the id of its address, which is empty where it has none. */
type Loaded = { default: Component<{ id: string }> | Component };

export const PAGES: Readonly<Record<PageName, () => Promise<Loaded>>> = {
  operations: () => Promise.resolve({ default: Operations }),
  device: () => import('../pages/DevicePage.svelte'),
  alarms: () => import('../pages/Alarms.svelte'),
  cases: () => import('../pages/Cases.svelte'),
  case: () => import('../pages/CasePage.svelte'),
  gateways: () => import('../pages/Gateways.svelte'),
  admin: () => import('../pages/Admin.svelte'),
  section: () => import('../pages/Admin.svelte'),
};
