// Fills in where the reader is, where the browser can tell; the form works without it.
const button = document.getElementById('locate');
const failed = document.getElementById('locate-failed');
if (button && 'geolocation' in navigator && window.isSecureContext) {
  button.hidden = false;
  button.addEventListener('click', () => {
    failed.hidden = true;
    navigator.geolocation.getCurrentPosition(
      ({ coords }) => {
        button.form.elements.near.value = `${coords.longitude.toFixed(6)},${coords.latitude.toFixed(6)}`;
        button.form.requestSubmit();
      },
      () => { failed.hidden = false; },
      { timeout: 15000, maximumAge: 60000 },
    );
  });
}
