import { mount } from 'svelte';
import '../styles/tokens.css';
import '../styles/base.css';
import './wall.css';
import Wall from './Wall.svelte';

const target = document.getElementById('app');
if (target === null) throw new Error('wall.html has no #app to mount into');
// A wall is dark, whatever the desk beside it chose.
document.documentElement.dataset['theme'] = 'dark';
mount(Wall, { target });
