// Runs the checks, and returns the names of those that passed and the errors of the others.
const passed = [];
const failed = [];
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    passed.push(name);
  } catch (error) {
    failed.push(`${name}: ${error.message}`);
  }
}
return { passed, failed };
