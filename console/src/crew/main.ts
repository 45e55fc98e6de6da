import { mount } from 'svelte';
import '../styles/tokens.css';
import './crew.css';
import Crew from './Crew.svelte';

const target = document.getElementById('app');
if (target === null) throw new Error('crew.html has no #app to mount into');
mount(Crew, { target });

// Not there without TLS, but for this machine itself: the page works, and does not open without a network.
if ('serviceWorker' in navigator) {
  navigator.serviceWorker.register('/crew-worker.js', { scope: '/crew' }).catch((fault: unknown) => console.info('service worker:', fault));
}
