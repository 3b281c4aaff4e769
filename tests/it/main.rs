fn main() {}
mod oceanbase;
